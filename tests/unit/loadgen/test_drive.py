"""Rules of the open loop: moments fixed ahead, latency from them, a bound on what is outstanding, honest leftovers."""

from __future__ import annotations

import asyncio

import pytest

from loadgen.drive import OpenLoop, Plan
from loadgen.encode import EventRange
from tests.unit.loadgen.fakes import START_UNIX_US, FakeClock


class Target:
    """Takes `takes_s` for a request, and stands still from `stall_s` until `resume_s`."""

    def __init__(self, clock: FakeClock, takes_s: float, stall_s: float = 1e9, resume_s: float = 0.0) -> None:
        self.clock, self.takes_s, self.stall_s, self.resume_s = clock, takes_s, stall_s, resume_s
        self.ranges: list[EventRange] = []
        self.intended_s: list[float] = []
        self.latencies_s: list[float] = []
        self.outstanding = self.most_outstanding = 0

    async def deliver(self, events: EventRange, intended_s: float) -> None:
        self.ranges.append(events)
        self.intended_s.append(intended_s)
        self.outstanding += 1
        self.most_outstanding = max(self.most_outstanding, self.outstanding)
        done_s = self.clock.now_s() + self.takes_s
        if self.stall_s <= self.clock.now_s() < self.resume_s:
            done_s = self.resume_s + self.takes_s
        await self.clock.sleep_until(done_s)
        self.outstanding -= 1
        self.latencies_s.append(self.clock.now_s() - intended_s)


async def _drive(plan: Plan, clock: FakeClock, target: Target) -> OpenLoop:
    loop = OpenLoop(plan, clock, target.deliver)
    await clock.run(loop.run())
    return loop


async def test_requests_have_their_moments_whatever_the_answers_take() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=0.35)
    await _drive(Plan(events_per_s=100, batch=10, duration_s=1, concurrency=20), clock, target)
    assert target.intended_s == pytest.approx([k / 10 for k in range(10)])
    assert target.latencies_s == pytest.approx([0.35] * 10)


async def test_the_rate_counts_events_not_requests() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=0.0)
    loop = await _drive(Plan(events_per_s=1000, batch=100, duration_s=2, concurrency=5), clock, target)
    assert loop.sent_events == 2000
    assert len(target.ranges) == 20


async def test_a_stall_shows_in_the_latency_of_every_request_that_fell_due_meanwhile() -> None:
    clock = FakeClock()
    # One sender: a closed loop would see one slow request and hide the nineteen that should have been sent.
    target = Target(clock, takes_s=0.0, stall_s=0.5, resume_s=2.5)
    await _drive(Plan(events_per_s=10, batch=1, duration_s=4, concurrency=1), clock, target)
    slow = [latency for latency in target.latencies_s if latency > 0.05]
    assert len(target.latencies_s) == 40
    assert slow == pytest.approx([2.0 - k / 10 for k in range(20)])


async def test_no_more_than_the_concurrency_is_outstanding() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=1.0)
    await _drive(Plan(events_per_s=100, batch=1, duration_s=1, concurrency=7), clock, target)
    assert target.most_outstanding == 7


async def test_what_could_not_begin_in_time_is_counted_as_unsent() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=1.0)
    loop = await _drive(Plan(events_per_s=10, batch=1, duration_s=2, concurrency=1), clock, target)
    # Begun at 0, 1 and 2 s; the next would begin at 3 s, over half a second after the end.
    assert loop.sent_events == 3
    assert loop.unsent_events == 17


async def test_numbers_follow_one_another_and_times_end_at_the_moment_of_the_send() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=0.0)
    await _drive(Plan(events_per_s=1000, batch=100, duration_s=0.3, concurrency=3), clock, target)
    assert [events.first for events in target.ranges] == [0, 100, 200]
    last_ms = [events.ms_of(events.first + 99) for events in target.ranges]
    assert last_ms == [START_UNIX_US // 1000 + delay_ms for delay_ms in (0, 100, 200)]
    assert target.ranges[1].ms_of(100) == START_UNIX_US // 1000 + 1


async def test_stopping_begins_nothing_more_and_waits_for_the_answers() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=0.5)
    loop = OpenLoop(Plan(events_per_s=10, batch=1, duration_s=0, concurrency=10), clock, target.deliver)

    async def stop_soon() -> None:
        await clock.sleep_until(1.05)
        loop.stop()

    async def both() -> None:
        await asyncio.gather(loop.run(), stop_soon())

    await clock.run(both())
    assert loop.sent_events == 11
    assert len(target.latencies_s) == 11
    assert clock.now_s() < 1.6


async def test_without_a_rate_it_sends_as_fast_as_answers_come() -> None:
    clock = FakeClock()
    target = Target(clock, takes_s=0.125)
    loop = await _drive(Plan(events_per_s=0, batch=5, duration_s=1, concurrency=2), clock, target)
    assert loop.sent_events == 2 * 8 * 5
    assert target.latencies_s == pytest.approx([0.125] * 16)
    assert loop.unsent_events == 0


@pytest.mark.parametrize(
    ("plan", "requests"),
    [
        (Plan(1000, 1, 60, 1), 60_000),
        (Plan(1000, 1000, 60, 1), 60),
        (Plan(10, 1000, 60, 1), 1),
        (Plan(3, 1, 1, 1), 3),
        (Plan(0, 1, 60, 1), None),
        (Plan(1000, 1, 0, 1), None),
    ],
)
def test_the_schedule_holds_what_falls_within_the_duration(plan: Plan, requests: int | None) -> None:
    assert plan.requests == requests
