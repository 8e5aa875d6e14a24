"""What is known of the lag when Kafka or PostgreSQL answer, and when they do not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from query_api.completeness import Lag, PartitionEnds
from query_api.kafka_consumer import KafkaUnavailableError
from query_api.lag_monitor import Clocks, LagMonitor
from query_api.reading import StoredPosition, StoreUnavailableError
from tests.unit.query_api.builders import Clock, moment, position


class ScriptedKafka:
    """Ends and append times as the test says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.offsets: dict[int, tuple[int, int]] = {0: (0, 100)}
        self.away = False
        self.asked: list[dict[int, int]] = []
        self.answering = asyncio.Event()
        self.answering.set()

    async def ends(self) -> PartitionEnds:
        await self.answering.wait()
        if self.away:
            raise KafkaUnavailableError("Kafka is away")
        return PartitionEnds(moment(self.clock.now_s), dict(self.offsets))

    async def appended_at(self, offsets: Mapping[int, int]) -> dict[int, tuple[int, datetime]]:
        self.asked.append(dict(offsets))
        return {partition: (offset, moment(self.clock.now_s - 10)) for partition, offset in offsets.items()}


class ScriptedPositions:
    """Positions as the test says."""

    def __init__(self) -> None:
        self.found: list[StoredPosition] = [position(0, next_offset=100, stored_until=moment(990))]
        self.away = False

    async def positions(self) -> Sequence[StoredPosition]:
        if self.away:
            raise StoreUnavailableError("PostgreSQL is away")
        return list(self.found)


class Bench:
    """A monitor over both."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.kafka = ScriptedKafka(self.clock)
        self.store = ScriptedPositions()
        clocks = Clocks(self.clock.as_datetime(), self.clock)
        self.monitor = LagMonitor("events", self.kafka, self.store, clocks)


async def test_before_anyone_was_asked_nothing_is_known() -> None:
    bench = Bench()
    assert bench.monitor.lag() == Lag(None, None, stale=True)
    assert bench.monitor.report().stale
    assert bench.monitor.partitions() is None


async def test_the_lag_is_told_with_the_moment_it_was_true() -> None:
    bench = Bench()
    bench.kafka.offsets = {0: (0, 130), 1: (0, 5)}
    await bench.monitor.refresh()
    assert bench.monitor.lag() == Lag(35, moment(1000), stale=False)
    assert bench.monitor.partitions() == frozenset({0, 1})


async def test_kafka_away_leaves_the_last_known_ends_marked_stale() -> None:
    bench = Bench()
    bench.kafka.offsets = {0: (0, 130)}
    await bench.monitor.refresh()
    bench.kafka.away = True
    bench.clock.now_s += 60
    bench.store.found = [position(0, next_offset=120)]
    await bench.monitor.refresh()
    assert bench.monitor.lag() == Lag(10, moment(1000), stale=True)
    report = bench.monitor.report()
    assert (report.stale, report.detail) == (True, "Kafka is away")


async def test_postgres_away_leaves_the_last_known_positions_marked_stale() -> None:
    bench = Bench()
    await bench.monitor.refresh()
    bench.store.away = True
    bench.kafka.offsets = {0: (0, 150)}
    await bench.monitor.refresh()
    assert bench.monitor.lag() == Lag(50, moment(1000), stale=True)
    assert bench.monitor.report().detail == "PostgreSQL is away"


async def test_a_report_that_nobody_renews_turns_stale() -> None:
    bench = Bench()
    await bench.monitor.refresh()
    bench.clock.now_s += 3.1
    assert bench.monitor.lag().stale


async def test_it_is_fresh_again_when_both_answer_again() -> None:
    bench = Bench()
    bench.kafka.away = True
    await bench.monitor.refresh()
    bench.kafka.away = False
    await bench.monitor.refresh()
    assert bench.monitor.report().detail is None
    assert not bench.monitor.lag().stale


async def test_the_oldest_record_is_fetched_once_for_each_offset_and_only_under_lag() -> None:
    bench = Bench()
    await bench.monitor.refresh()
    assert bench.kafka.asked == []
    bench.kafka.offsets = {0: (0, 130)}
    await bench.monitor.refresh()
    await bench.monitor.refresh()
    bench.store.found = [position(0, next_offset=110)]
    await bench.monitor.refresh()
    assert bench.kafka.asked == [{0: 100}, {0: 110}]
    assert bench.monitor.report().partitions[0].oldest_unstored_age_s == 10.0


async def test_rates_are_those_of_the_last_ten_seconds() -> None:
    bench = Bench()
    for step in range(30):
        bench.kafka.offsets = {0: (0, 10_000 + 100 * step)}
        bench.store.found = [position(0, next_offset=1000 + (0 if step < 15 else 300 * (step - 15)))]
        await bench.monitor.refresh()
        bench.clock.now_s += 1
    total = bench.monitor.report().total
    assert total is not None
    assert (total.appended_per_second, total.stored_per_second) == (100.0, 300.0)
    assert total.seconds_to_catch_up == round((12_900 - 5_200) / 200, 1)


async def test_the_report_says_until_when_everything_is_stored() -> None:
    bench = Bench()
    await bench.monitor.refresh()
    assert bench.monitor.report().complete_until == moment(990)


async def test_a_kafka_that_is_silent_does_not_make_workers_look_silent() -> None:
    bench = Bench()
    await bench.monitor.refresh()
    bench.kafka.answering.clear()
    waiting = asyncio.create_task(bench.monitor.refresh_ends())
    for _ in range(10):
        bench.clock.now_s += 1
        await bench.monitor.refresh_positions()
    (entry,) = bench.monitor.report().partitions
    assert entry.worker is not None
    assert entry.worker.alive
    bench.kafka.answering.set()
    await waiting


async def test_both_are_asked_at_once() -> None:
    bench = Bench()
    bench.kafka.answering.clear()
    refreshing = asyncio.create_task(bench.monitor.refresh())
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.monitor.partitions() == frozenset({0})
    bench.kafka.answering.set()
    await refreshing
    assert not bench.monitor.lag().stale
