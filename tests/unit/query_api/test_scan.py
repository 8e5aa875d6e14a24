"""Which slices of time a search looks at, how large they are, and where it says that it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from query_api import abandoned
from query_api.filter_language.parse import parse
from query_api.scan import Scan, ScanPolicy
from query_api.statement import Statement
from query_api.timeline import HOUR, MINUTE, Window
from tests.unit.query_api.builders import NOON, search_filter

END = NOON + 3 * HOUR
RANGE = Window(NOON, END)


class CountedEvents:
    """Answers how many events hours and minutes have."""

    def __init__(self, hours: Mapping[datetime, int], minutes: Mapping[datetime, int] | None = None) -> None:
        self._hours, self._minutes = hours, minutes or {}
        self.asked: list[Statement] = []

    async def fetch(self, statement: Statement) -> Sequence[Mapping[str, Any]]:
        self.asked.append(statement)
        if "set_config" in statement.text or "log_word_filters" in statement.text:
            return []
        counts = self._hours if "count_hour" in statement.text else self._minutes
        start, end = statement.arguments[:2]
        within = {bucket: n for bucket, n in counts.items() if start <= bucket < end}
        return [{"bucket": bucket, "n": within[bucket]} for bucket in sorted(within, reverse=True)]


class Clock:
    """Moves by what each slice is said to take."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def looked_at(
    counted: CountedEvents, scan: Scan, clock: Clock, slice_s: float = 0.0, most: int = 1000
) -> list[list[Window]]:
    """Takes `slice_s` for each slice; stops after `most`."""
    found: list[list[Window]] = []
    async for windows in scan.slices(counted):
        found.append(windows)
        clock.now_s += slice_s
        if len(found) == most:
            break
    return found


def scan_of(text: str = "word", policy: ScanPolicy = ScanPolicy(), now_s: Callable[[], float] = Clock()) -> Scan:  # noqa: B008 - frozen, and a clock that stands
    return Scan(search_filter(start=NOON, end=END, expression=parse(text)), RANGE, policy, now_s)


async def test_hours_with_few_events_are_one_slice_and_hours_without_any_are_none() -> None:
    counted = CountedEvents({NOON: 500, NOON + 2 * HOUR: 900})
    scan = scan_of()
    slices = await looked_at(counted, scan, Clock())
    assert slices == [[Window(NOON + 2 * HOUR, END), Window(NOON, NOON + HOUR)]]
    assert (scan.is_complete, scan.scanned_until) == (True, NOON)


async def test_nothing_to_look_at_is_complete() -> None:
    scan = scan_of()
    assert await looked_at(CountedEvents({}), scan, Clock()) == []
    assert scan.is_complete


async def test_an_hour_with_many_is_looked_at_by_minutes_and_those_in_parts() -> None:
    minutes = {NOON + 5 * MINUTE: 1500, NOON + 6 * MINUTE: 4000}
    clock = Clock()
    scan = scan_of(now_s=clock)
    slices = await looked_at(CountedEvents({NOON: 5500}, minutes), scan, clock, slice_s=0.05)
    half = timedelta(seconds=30)
    assert slices == [
        [Window(NOON + 6 * MINUTE + half, NOON + 7 * MINUTE)],
        [Window(NOON + 6 * MINUTE, NOON + 6 * MINUTE + half)],
        [Window(NOON + 5 * MINUTE, NOON + 6 * MINUTE)],
    ]
    assert scan.is_complete


async def test_what_proves_quick_grows_and_what_proves_slow_shrinks() -> None:
    minutes = {NOON + n * MINUTE: 2000 for n in range(60)}
    quick = await looked_at(CountedEvents({NOON: 120_000}, minutes), scan_of(), Clock())
    assert [len(windows) for windows in quick] == [1, 4, 16, 39]
    clock = Clock()
    slow = await looked_at(
        CountedEvents({NOON: 120_000}, minutes), scan_of(policy=ScanPolicy(10), now_s=clock), clock, 0.1, 5
    )
    lengths = [sum((window.end - window.start for window in windows), timedelta()) for windows in slow]
    assert lengths[0] == MINUTE
    # The second one was cut before it was known how slow the first one was.
    assert max(lengths[2:]) < MINUTE / 3


async def test_when_the_time_is_over_it_says_how_far_it_came() -> None:
    clock = Clock()
    scan = scan_of(policy=ScanPolicy(budget_s=0.1), now_s=clock)
    counted = CountedEvents({NOON + n * HOUR: 2000 for n in range(3)})
    assert len(await looked_at(counted, scan, clock, slice_s=0.06)) == 2
    assert (scan.is_complete, scan.scanned_until, scan.has_begun) == (False, NOON + HOUR, True)


async def test_when_nobody_waits_any_more_it_ends_after_the_slice() -> None:
    counted = CountedEvents({NOON + n * HOUR: 2000 for n in range(3)})
    abandoned.watch(lambda: True)
    scan = scan_of()
    assert len(await looked_at(counted, scan, Clock())) == 1
    assert (scan.is_complete, scan.has_begun) == (False, True)


async def test_a_slice_that_was_broken_off_was_not_looked_at() -> None:
    scan = scan_of()
    await looked_at(CountedEvents({NOON: 500}), scan, Clock(), most=1)
    assert (scan.is_complete, scan.has_begun, scan.scanned_until) == (False, False, END)


@pytest.mark.parametrize(
    ("text", "table", "words"),
    [
        ("word", "log_count_hour", ()),
        ("word severity:HIGH", "log_count_hour", ("severity = ANY",)),
        ("word source:a", "log_rollup_hour", ("lower(source",)),
    ],
)
async def test_only_time_that_may_hold_wanted_events_is_asked_for(
    text: str, table: str, words: tuple[str, ...]
) -> None:
    counted = CountedEvents({})
    await looked_at(counted, scan_of(text), Clock())
    (asked,) = (statement for statement in counted.asked if "bucket" in statement.text)
    assert table in asked.text
    assert all(word in asked.text for word in words)
    assert "message" not in asked.text
