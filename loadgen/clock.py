"""Time as the driver sees it: monotonic seconds for schedules, wall-clock microseconds for events."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Passed to everything that waits or measures, so that tests decide what time it is."""

    def now_s(self) -> float:
        """Monotonic seconds from an arbitrary start."""

    def unix_us(self) -> int:
        """Wall-clock microseconds since 1970."""

    async def sleep_until(self, moment_s: float) -> None:
        """Returns when `now_s()` has reached `moment_s`, at once if it has."""


class SystemClock:
    """The machine's clocks. uvloop's timers are whole milliseconds, so a sleep may end up to one late."""

    def now_s(self) -> float:
        return time.monotonic()

    def unix_us(self) -> int:
        return time.time_ns() // 1000

    async def sleep_until(self, moment_s: float) -> None:
        delay_s = moment_s - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
