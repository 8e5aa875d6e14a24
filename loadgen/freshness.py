"""How long after its acknowledgement an event can be found: some of the run's own events are looked for by id."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from loadgen.clock import Clock
from loadgen.encode import EventRange
from loadgen.identity import RunIdentity
from loadgen.outcome import Fate, Outcome
from loadgen.query_client import LogReader, QueryFailedError


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """`per_s` events a second are followed until seen.

    Each is asked for after `first_poll_s`, then whenever its age has grown by the share `growth` (at least by
    `first_poll_s`): a figure is at most that much too high, and the query API's load stays small.
    """

    per_s: float = 5.0
    first_poll_s: float = 0.015
    growth: float = 0.15
    deadline_s: float = 60.0
    most_pending: int = 200


class FreshnessListener(Protocol):
    """Takes what the probe measured."""

    def seen(self, acked_s: float, age_s: float) -> None:
        """An event acknowledged at `acked_s` was found when it was `age_s` old."""

    def not_seen(self, acked_s: float) -> None:
        """It was not found before the deadline."""


class FreshnessProbe:
    """An `OutcomeRecorder` that follows some events, on a grid of time: slow times get as many samples as fast ones.

    At each tick it is armed; the next acknowledgement gives the event to follow, from that very moment.
    """

    def __init__(
        self,
        reader: LogReader,
        identity: RunIdentity,
        policy: ProbePolicy,
        clock: Clock,
        listener: FreshnessListener,
    ) -> None:
        self._reader: Final = reader
        self._identity: Final = identity
        self._policy: Final = policy
        self._clock: Final = clock
        self._listener: Final = listener
        self._armed_from_s = 0.0
        self._pending: set[asyncio.Task[None]] = set()
        self.failed_queries = 0
        self.skipped = 0

    def issued(self, events: EventRange) -> None:
        """Nothing to do before the acknowledgement."""

    def finished(self, outcome: Outcome) -> None:
        if outcome.fate is not Fate.ACKED or outcome.finished_s < self._armed_from_s:
            return
        rejected = {index for index, _ in outcome.rejected}
        index = next((i for i in reversed(range(outcome.events.count)) if i not in rejected), None)
        if index is None:
            return
        # Ticks stand on a fixed grid; those without any acknowledgement pass.
        period_s = 1 / self._policy.per_s
        self._armed_from_s = max(self._armed_from_s + period_s, outcome.finished_s)
        if len(self._pending) >= self._policy.most_pending:
            self.skipped += 1
            return
        number = outcome.events.first + index
        identifier = self._identity.event_id(outcome.events.ms_of(number), number)
        task = asyncio.create_task(self._follow(identifier, outcome.finished_s))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def settle(self) -> None:
        """Returns when every followed event was found or has passed its deadline."""
        while self._pending:
            await asyncio.gather(*self._pending)

    async def _follow(self, identifier: str, acked_s: float) -> None:
        policy, age_s = self._policy, 0.0
        while age_s < policy.deadline_s:
            await self._clock.sleep_until(acked_s + age_s + max(policy.first_poll_s, policy.growth * age_s))
            try:
                found = await self._reader.event(identifier)
            except QueryFailedError:
                self.failed_queries += 1
                found = None
            age_s = self._clock.now_s() - acked_s
            if found is not None:
                self._listener.seen(acked_s, age_s)
                return
        self._listener.not_seen(acked_s)
