"""A worker that stands still ends; one that waits for PostgreSQL, or has nothing to do, does not."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from stream_app.watchdog import MOST_FAILURES, Vitals, Watchdog, watch

WELL = Vitals(in_group=True, progress=1, behind=False, store_answers=True, loop_ticks=1)


def verdict_after(seconds: int, vitals: Vitals, **changing: int) -> str | None:
    """The verdict when these vitals are seen each second; `changing` names what grows by so much each time."""
    watchdog = Watchdog(10.0, 0.0)
    for second in range(seconds + 1):
        grown = {name: getattr(vitals, name) + second * step for name, step in changing.items()}
        found = watchdog.verdict(replace(vitals, **grown), float(second))
        if found:
            return found
    return None


def test_a_worker_with_nothing_to_do_lives_on() -> None:
    assert verdict_after(100, WELL, loop_ticks=1) is None


def test_a_standby_without_partitions_lives_on() -> None:
    assert verdict_after(100, replace(WELL, progress=0), loop_ticks=1) is None


def test_a_worker_that_is_behind_and_stores_lives_on() -> None:
    assert verdict_after(100, replace(WELL, behind=True), loop_ticks=1, progress=5) is None


def test_a_worker_that_is_behind_and_stores_nothing_ends() -> None:
    assert verdict_after(9, replace(WELL, behind=True), loop_ticks=1) is None
    assert "nothing is stored" in str(verdict_after(12, replace(WELL, behind=True), loop_ticks=1))


def test_standing_still_is_right_while_postgresql_is_away() -> None:
    assert verdict_after(100, replace(WELL, behind=True, store_answers=False), loop_ticks=1) is None


def test_a_database_restored_to_an_earlier_state_counts_as_change() -> None:
    assert verdict_after(100, replace(WELL, behind=True, progress=10**6), loop_ticks=1, progress=-1) is None


def test_a_worker_outside_the_group_ends() -> None:
    assert "consumer group" in str(verdict_after(12, replace(WELL, in_group=False), loop_ticks=1))


def test_an_event_loop_that_stands_still_ends_the_worker() -> None:
    assert "event loop" in str(verdict_after(12, WELL))


def test_a_process_that_was_stopped_for_a_while_is_forgiven() -> None:
    watchdog = Watchdog(10.0, 0.0)
    watchdog.verdict(WELL, 1.0)
    watchdog.forgive(1000.0)

    assert watchdog.verdict(WELL, 1001.0) is None


@pytest.mark.timeout(20)
def test_the_watching_thread_ends_a_worker_with_the_reason() -> None:
    ended = threading.Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    # The thread dies with the process, as it does in a worker.
    watch(Watchdog(0.0, -1e9), lambda: replace(WELL, in_group=False), end)

    assert ended.wait(10)
    assert reasons[0].startswith("no place in the consumer group for ")


@pytest.mark.timeout(20)
def test_a_watchdog_that_cannot_look_once_goes_on_and_ends_the_worker_in_the_end() -> None:
    ended = threading.Event()
    looks: list[int] = []
    reasons: list[str] = []

    def vitals() -> Vitals:
        looks.append(1)
        if len(looks) == 2:
            return replace(WELL, loop_ticks=2)
        raise AssertionError("a partition vanished")

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()
        # As the end of the process would.
        threading.Event().wait()

    watch(Watchdog(3600.0, 0.0), vitals, end, 0.001)

    assert ended.wait(10)
    assert reasons[0] == f"the watchdog could not look {MOST_FAILURES} times"
    assert len(looks) >= MOST_FAILURES + 2
