"""Rules of the probe: age counts from the acknowledgement, slow times get as many samples as fast ones."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from loadgen.encode import EventEncoder, EventRange, make_templates
from loadgen.freshness import FreshnessProbe, ProbePolicy
from loadgen.identity import RunIdentity
from loadgen.ledger import RunLedger
from loadgen.outcome import Fate
from tests.unit.loadgen.fakes import START_UNIX_US, FakeClock, ListReader, outcome, stored

ENCODER = EventEncoder(RunIdentity(5), make_templates(7, "", 20))
POLICY = ProbePolicy(per_s=5.0, deadline_s=10.0)


class Heard:
    def __init__(self) -> None:
        self.ages: list[tuple[float, float]] = []
        self.lost: list[float] = []

    def seen(self, acked_s: float, age_s: float) -> None:
        self.ages.append((acked_s, age_s))

    def not_seen(self, acked_s: float) -> None:
        self.lost.append(acked_s)


class Scene:
    """Acknowledges 10 events every 50 ms for 2 s; each can be seen `visible_after_s` after that."""

    def __init__(self, visible_after_s: float, rejected: tuple[tuple[int, str], ...] = ()) -> None:
        self.clock, self.heard, self.ledger = FakeClock(), Heard(), RunLedger()
        self.acked_s: dict[UUID, float] = {}
        self.rejected = rejected
        self.reader = ListReader([], lambda: None)
        self.reader.found_by_id = lambda wanted: self.clock.now_s() >= self.acked_s[wanted] + visible_after_s
        self.probe = FreshnessProbe(self.reader, ENCODER.identity, POLICY, self.clock, self.heard)

    async def play(self, fate: Fate = Fate.ACKED) -> None:
        for tick in range(40):
            await self.clock.sleep_until(tick * 0.05)
            events = EventRange(tick * 10, 10, START_UNIX_US + tick * 50_000, 0)
            self.ledger.issued(events)
            for number in range(events.first, events.first + 10):
                self.reader.events.append(stored(ENCODER, self.ledger, number))
                self.acked_s[self.reader.events[-1].id] = self.clock.now_s()
            now_s = self.clock.now_s()
            self.probe.finished(outcome(events, fate, started_s=now_s, finished_s=now_s, rejected=self.rejected))
        await self.probe.settle()

    async def run(self, fate: Fate = Fate.ACKED) -> Heard:
        await self.clock.run(self.play(fate))
        return self.heard


@pytest.mark.parametrize("visible_after_s", [0.0, 0.2, 1.5, 5.0])
async def test_the_figure_is_never_too_low_and_at_most_a_step_too_high(visible_after_s: float) -> None:
    heard = await Scene(visible_after_s).run()
    assert heard.ages
    for _, age_s in heard.ages:
        assert visible_after_s <= age_s <= visible_after_s * (1 + POLICY.growth) + POLICY.first_poll_s + 1e-6


@pytest.mark.parametrize("visible_after_s", [0.1, 5.0])
async def test_slow_times_get_as_many_samples_as_fast_ones(visible_after_s: float) -> None:
    heard = await Scene(visible_after_s).run()
    assert 9 <= len(heard.ages) <= 10


async def test_an_event_that_is_never_seen_is_told_after_the_deadline() -> None:
    scene = Scene(1e9)
    heard = await scene.run()
    assert heard.ages == []
    assert 9 <= len(heard.lost) <= 10
    assert scene.clock.now_s() < 2 + POLICY.deadline_s * (1 + POLICY.growth) + 1


async def test_only_acknowledged_events_are_followed() -> None:
    heard = await Scene(0.0).run(Fate.UNKNOWN)
    assert heard.ages == []
    assert heard.lost == []


async def test_a_rejected_item_is_not_followed() -> None:
    heard = await Scene(0.0, rejected=tuple((index, "bad_source") for index in range(1, 10))).run()
    assert heard.ages
    heard = await Scene(0.0, rejected=tuple((index, "bad_source") for index in range(10))).run()
    assert heard.ages == []


async def test_failed_queries_are_counted_and_asked_again() -> None:
    scene = Scene(0.0)
    scene.reader.failing = lambda: True

    async def heal() -> None:
        await scene.clock.sleep_until(3.0)
        scene.reader.failing = lambda: False

    async def both() -> None:
        await asyncio.gather(scene.play(), heal())

    await scene.clock.run(both())
    assert scene.probe.failed_queries > 0
    assert scene.heard.lost == []
    assert len(scene.heard.ages) >= 9
