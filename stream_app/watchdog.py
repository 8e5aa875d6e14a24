"""Ends a worker that stands still, so that it is started anew: a stuck one is worse than a dead one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)
CHECK_INTERVAL_S = 1.0
# A reading may fail once, under a rebalance; a watchdog that cannot see at all must not go on as if all were well.
MOST_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Vitals:
    """What can be seen of a worker from outside its event loop."""

    in_group: bool  # between rebalances, with or without partitions
    progress: int  # grows with every record stored
    behind: bool  # Kafka has records of ours that are not stored
    store_answers: bool
    loop_ticks: int  # grows while the event loop turns


class Watchdog:
    """Judges vitals over time; `stall_timeout_s` is how long nothing may change that should."""

    def __init__(self, stall_timeout_s: float, now_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._progress = self._ticks = -1
        self.forgive(now_s)

    def forgive(self, now_s: float) -> None:
        """Begins to count anew, as after the whole process was stopped for a while."""
        self._grouped_s = self._progressed_s = self._ticked_s = now_s

    def verdict(self, vitals: Vitals, now_s: float) -> str | None:
        """Why the worker must end, or None."""
        if vitals.in_group:
            self._grouped_s = now_s
        # While PostgreSQL is away standing still is right, and a restart would help nobody.
        if vitals.progress != self._progress or not vitals.behind or not vitals.store_answers:
            self._progress, self._progressed_s = vitals.progress, now_s
        if vitals.loop_ticks != self._ticks:
            self._ticks, self._ticked_s = vitals.loop_ticks, now_s
        for since_s, words in (
            (self._grouped_s, "no place in the consumer group"),
            (self._progressed_s, "records wait, PostgreSQL answers, and nothing is stored"),
            (self._ticked_s, "the event loop stands still"),
        ):
            if now_s - since_s > self._stall_timeout_s:
                return f"{words} for {now_s - since_s:.0f} s"
        return None


def watch(
    watchdog: Watchdog,
    vitals: Callable[[], Vitals],
    end: Callable[[str], None],
    check_interval_s: float = CHECK_INTERVAL_S,
) -> threading.Thread:
    """Checks once a second in a thread of its own, which a stuck event loop cannot hold up."""

    def loop() -> None:
        last_s = time.monotonic()
        failures = 0
        while True:
            time.sleep(check_interval_s)
            now_s = time.monotonic()
            if now_s - last_s > check_interval_s * 5:
                watchdog.forgive(now_s)
            last_s = now_s
            try:
                reason = watchdog.verdict(vitals(), now_s)
                failures = 0
            except Exception as error:
                failures += 1
                log.warning("the watchdog could not look", exc_info=error)
                reason = f"the watchdog could not look {failures} times" if failures >= MOST_FAILURES else None
            if reason is not None:
                end(reason)

    thread = threading.Thread(target=loop, name="watchdog", daemon=True)
    thread.start()
    return thread
