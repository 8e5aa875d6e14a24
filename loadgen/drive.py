"""The open-loop scheduler: every request has its moment before the run begins, and late answers do not move it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from loadgen.clock import Clock
from loadgen.encode import EventRange

# A request that was due within the duration may still begin this much after it.
_GRACE_S: Final = 0.5
# Events of one request happened one after another before it was sent, over at most this long.
_LONGEST_SPREAD_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much and how fast. `events_per_s` counts events, not requests; 0 sends as fast as answers come back.

    `duration_s` of 0 runs until stopped. At most `concurrency` requests are outstanding.
    """

    events_per_s: float
    batch: int
    duration_s: float
    concurrency: int

    @property
    def interval_s(self) -> float:
        """Seconds from one request to the next; 0 without a schedule."""
        return self.batch / self.events_per_s if self.events_per_s else 0.0

    @property
    def requests(self) -> int | None:
        """How many requests the schedule holds; None where that is open."""
        if not self.events_per_s or not self.duration_s:
            return None
        return max(1, math.ceil(self.duration_s / self.interval_s - 1e-9))


Deliver = Callable[[EventRange, float], Awaitable[object]]


class OpenLoop:
    """Runs one plan. Request `k` is due `k * interval_s` after the start, whatever became of those before it.

    When all `concurrency` senders are waiting for answers, the next request begins late: its latency still counts from
    its own due time, so that a stalled target is not hidden (no coordinated omission). What has not begun half a second
    after the end of the duration is left unsent and counted in `unsent_events`.
    """

    def __init__(self, plan: Plan, clock: Clock, deliver: Deliver) -> None:
        self._plan: Final = plan
        self._clock: Final = clock
        self._deliver: Final = deliver
        self._taken = 0
        self._begun = 0
        self._stopping = False
        self._asleep: set[asyncio.Task[None]] = set()
        self._origin_unix_us = 0
        self.start_s = 0.0

    async def run(self) -> None:
        """Sends everything, and returns when the last answer is in or given up."""
        self.start_s = self._clock.now_s()
        self._origin_unix_us = self._clock.unix_us()
        async with asyncio.TaskGroup() as senders:
            for _ in range(self._plan.concurrency):
                senders.create_task(self._send_in_turn())

    def stop(self) -> None:
        """Begins nothing more; `run` returns once what is outstanding has ended."""
        self._stopping = True
        for task in self._asleep:
            task.cancel()

    @property
    def sent_events(self) -> int:
        return self._begun * self._plan.batch

    @property
    def unsent_events(self) -> int:
        """Events that the schedule held and that were not begun, because it fell behind or was stopped."""
        return 0 if self._plan.requests is None else (self._plan.requests - self._begun) * self._plan.batch

    async def _send_in_turn(self) -> None:
        plan = self._plan
        while not self._stopping and (plan.requests is None or self._taken < plan.requests):
            intended_s = self.start_s + self._taken * plan.interval_s
            self._taken += 1
            if not await self._awake_at(intended_s):
                return
            if not plan.interval_s:
                intended_s = self._clock.now_s()
            await self._deliver(self._next_range(intended_s), intended_s)

    async def _awake_at(self, intended_s: float) -> bool:
        """Waits for a request's moment; False when the run was stopped or is over by then."""
        if self._clock.now_s() < intended_s:
            task = asyncio.current_task()
            assert task is not None
            self._asleep.add(task)
            try:
                await self._clock.sleep_until(intended_s)
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
                return False
            finally:
                self._asleep.discard(task)
        if self._stopping:
            return False
        grace_s = _GRACE_S if self._plan.interval_s else 0.0
        return not self._plan.duration_s or self._clock.now_s() < self.start_s + self._plan.duration_s + grace_s

    def _next_range(self, intended_s: float) -> EventRange:
        batch = self._plan.batch
        step_us = min(round(self._plan.interval_s * 1e6 / batch), _LONGEST_SPREAD_US // batch)
        last_us = self._origin_unix_us + round((intended_s - self.start_s) * 1e6)
        first = self._begun * batch
        self._begun += 1
        return EventRange(first, batch, last_us - (batch - 1) * step_us, step_us)
