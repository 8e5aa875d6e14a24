"""Rules of one request: a retry is the same bytes, its fate is what can be known, latency counts from its moment."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from loadgen.delivery import Delivery, Patience, fate_of
from loadgen.encode import EventEncoder, EventRange, make_templates
from loadgen.identity import RunIdentity
from loadgen.outcome import Attempt, Fate, Outcome
from loadgen.retry import RetryPolicy
from tests.unit.loadgen.fakes import START_UNIX_US, FakeClock, ScriptedSender

ACKED = Attempt(Fate.ACKED, "201")
BUSY = Attempt(Fate.NOT_TAKEN, "429", retry=True, retry_after_s=2.0)
LOST = Attempt(Fate.UNKNOWN, "connection lost", retry=True)
REFUSED = Attempt(Fate.REFUSED, "422")
EVENTS = EventRange(0, 3, START_UNIX_US, 0)


class Recorded:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def issued(self, events: EventRange) -> None:
        self.calls.append(f"issued {events.first}")

    def finished(self, outcome: Outcome) -> None:
        self.calls.append(f"finished {outcome.events.first}")


async def _deliver(answers: Sequence[Attempt], takes_s: float = 0.0) -> tuple[Outcome, ScriptedSender, Recorded]:
    clock, recorded = FakeClock(), Recorded()
    sender = ScriptedSender(clock, answers, takes_s)
    encoder = EventEncoder(RunIdentity(1), make_templates(7, "", 10))
    delivery = Delivery(encoder, sender, Patience(RetryPolicy(max_attempts=4), Random(1)), clock, [recorded])
    return await clock.run(delivery.deliver(EVENTS, intended_s=-1.0)), sender, recorded


async def test_a_retry_is_the_same_bytes() -> None:
    _, sender, _ = await _deliver([LOST, BUSY, ACKED])
    assert len(sender.sent) == 3
    assert len(set(map(tuple, sender.sent))) == 1


async def test_retry_after_is_honoured_and_counts_as_latency() -> None:
    outcome, _, _ = await _deliver([BUSY, ACKED], takes_s=0.5)
    assert outcome.fate is Fate.ACKED
    assert 1.0 + 0.5 + 2.0 + 0.5 <= outcome.latency_s <= 1.0 + 0.5 + 2.2 + 0.5


async def test_a_refusal_is_not_repeated() -> None:
    outcome, sender, _ = await _deliver([REFUSED])
    assert outcome.fate is Fate.REFUSED
    assert len(sender.sent) == 1


async def test_repeating_ends() -> None:
    outcome, sender, _ = await _deliver([BUSY])
    assert outcome.fate is Fate.NOT_TAKEN
    assert outcome.attempts == ("429",) * 4
    assert len(sender.sent) == 4


async def test_recorders_hear_of_it_once_before_and_once_after() -> None:
    _, _, recorded = await _deliver([LOST, ACKED])
    assert recorded.calls == ["issued 0", "finished 0"]


@pytest.mark.parametrize(
    ("attempts", "fate"),
    [
        pytest.param([LOST, ACKED], Fate.ACKED, id="acknowledged at last"),
        pytest.param([LOST, BUSY], Fate.UNKNOWN, id="the first may have arrived"),
        pytest.param([LOST, REFUSED], Fate.UNKNOWN, id="refused, but an earlier one may have arrived"),
        pytest.param([BUSY, REFUSED], Fate.REFUSED, id="never taken, then refused"),
        pytest.param([BUSY, BUSY], Fate.NOT_TAKEN, id="never taken"),
    ],
)
def test_the_fate_is_what_can_be_known(attempts: list[Attempt], fate: Fate) -> None:
    assert fate_of(attempts) is fate
