"""One request from its bytes to its end: send, wait as told, send the same bytes again, tell the recorders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from loadgen.clock import Clock
from loadgen.encode import EventEncoder, EventRange
from loadgen.outcome import Attempt, Fate, Outcome, OutcomeRecorder, Sender
from loadgen.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and with what chance requests are repeated."""

    policy: RetryPolicy
    rng: Random


def fate_of(attempts: Sequence[Attempt]) -> Fate:
    """What is known after all attempts: one that may have arrived leaves it unknown, unless the last said yes."""
    last = attempts[-1].fate
    if last is not Fate.ACKED and any(attempt.fate is Fate.UNKNOWN for attempt in attempts):
        return Fate.UNKNOWN
    return last


async def settle(sender: Sender, packed: Sequence[bytes], patience: Patience, clock: Clock) -> list[Attempt]:
    """Sends the same bytes until they are acknowledged, refused or given up; returns every attempt, at least one."""
    started_s = clock.now_s()
    attempts: list[Attempt] = []
    while True:
        attempt = await sender.attempt(packed)
        attempts.append(attempt)
        if not attempt.retry:
            return attempts
        now_s = clock.now_s()
        delay_s = patience.policy.delay_s(len(attempts), now_s - started_s, attempt.retry_after_s, patience.rng)
        if delay_s is None:
            return attempts
        await clock.sleep_until(now_s + delay_s)


class Delivery:
    """Delivers ranges of events through one sender."""

    def __init__(
        self,
        encoder: EventEncoder,
        sender: Sender,
        patience: Patience,
        clock: Clock,
        recorders: Sequence[OutcomeRecorder],
    ) -> None:
        self._encoder: Final = encoder
        self._sender: Final = sender
        self._patience: Final = patience
        self._clock: Final = clock
        self._recorders: Final = recorders

    async def deliver(self, events: EventRange, intended_s: float) -> Outcome:
        """Sends until acknowledged, refused or given up. `intended_s` is when the schedule wanted it sent."""
        packed = self._sender.pack(self._encoder.encode(events))
        for recorder in self._recorders:
            recorder.issued(events)
        started_s = self._clock.now_s()
        attempts = await settle(self._sender, packed, self._patience, self._clock)
        last = attempts[-1]
        outcome = Outcome(
            events,
            fate_of(attempts),
            last.code,
            intended_s,
            started_s,
            self._clock.now_s(),
            self._clock.unix_us(),
            tuple(each.code for each in attempts),
            last.rejected if last.fate is Fate.ACKED else (),
        )
        for recorder in self._recorders:
            recorder.finished(outcome)
        return outcome
