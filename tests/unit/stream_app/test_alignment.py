"""What a worker believes of its partitions follows PostgreSQL and Kafka, also where no record comes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from stream_app.outcomes import LogUnavailableError, Loss, StoreUnavailableError
from tests.fakes.kafka_records import chunk
from tests.unit.stream_app.pipeline_bench import Bench, quiet, until

AWAY = StoreUnavailableError("away")


async def test_an_assignment_marks_redis_stale_before_postgresql_has_answered() -> None:
    bench = Bench()
    bench.store.troubles = [AWAY] * 10_000

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await bench.pipeline.start_positions({0: 0}, dict)  # type: ignore[arg-type]

    assert bench.mirror.stale == 1
    assert bench.pipeline.stored_offsets == {}


async def test_positions_that_an_assignment_could_not_get_are_asked_for_without_a_record() -> None:
    bench = Bench()
    bench.store.offsets.update({0: 7, 1: 3})

    await bench.pipeline.alignment.find_positions([0, 1])
    await bench.pipeline.alignment.find_positions([0, 1])

    assert bench.pipeline.stored_offsets == {0: 7, 1: 3}
    assert bench.log.seeks == [(0, 7), (1, 3)]


async def test_in_a_rebalance_nothing_is_asked_for_or_sought() -> None:
    bench = Bench()
    bench.log.rebalancing = True

    await bench.pipeline.alignment.find_positions([0])
    await bench.pipeline.alignment.check_positions({0: 5}, {0: 3})

    assert (bench.pipeline.stored_offsets, bench.log.seeks, bench.mirror.set_back) == ({}, [], 0)


async def test_a_database_set_back_is_seen_without_a_record_and_filled_again() -> None:
    bench = Bench()
    await bench.start(p0=0)
    await bench.deliver(chunk(0, range(10)))
    await until(lambda: bench.acknowledged)
    bench.store.offsets[0] = 4
    bench.store.logs.clear()

    await bench.pipeline.alignment.check_positions({0: 10}, {0: 4})
    await bench.deliver(chunk(0, range(4, 10)))
    await until(lambda: bench.store.offsets[0] == 10)

    assert bench.log.seeks == [(0, 4)]
    assert bench.mirror.set_back == 1
    assert bench.stored_offsets_of_rows == [(0, offset) for offset in range(4, 10)]


async def test_a_database_emptied_is_seen_without_a_record() -> None:
    bench = Bench()
    await bench.start(p0=5)
    bench.store.offsets.clear()
    bench.log.starts[0] = 2

    await bench.pipeline.alignment.check_positions({0: 5}, {})

    assert bench.log.seeks == [(0, 2)]
    assert bench.mirror.set_back == 1
    assert bench.pipeline.stored_offsets == {0: 2}


async def test_a_chunk_left_over_from_before_a_rebalance_is_sought_and_is_no_set_back() -> None:
    bench = Bench()
    await bench.start(p0=100)

    await bench.deliver(chunk(0, range(150, 160)))
    await until(lambda: bench.log.seeks)

    assert bench.log.seeks == [(0, 100)]
    assert bench.mirror.set_back == 0


async def test_an_assignment_that_finds_less_than_was_stored_here_is_a_set_back() -> None:
    bench = Bench()
    await bench.start(p0=100)
    await bench.start(p0=120)
    assert bench.mirror.set_back == 0

    await bench.start(p0=90)

    assert bench.mirror.set_back == 1


async def test_a_marker_at_the_end_is_passed_over() -> None:
    bench = Bench()
    await bench.start(p0=10)
    bench.log.read_past = {0: (10, 12)}

    await bench.pipeline.alignment.pass_over({0: 12})

    assert bench.store.offsets == bench.pipeline.stored_offsets == {0: 12}
    assert bench.store.gaps == []
    # A chunk read on from there holds the same hole.
    await bench.deliver(chunk(0, [12, 13], position=10))
    await until(lambda: bench.acknowledged)
    assert bench.stored_offsets_of_rows == [(0, 12), (0, 13)]
    assert bench.log.seeks == []


async def test_what_retention_took_at_the_end_is_counted_without_a_record(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.start(p0=10, p1=0)
    bench.log.read_past, bench.log.starts = {0: (10, 40), 1: (0, 5)}, {0: 40, 1: 5}

    with caplog.at_level(logging.ERROR, "stream_app"):
        await bench.pipeline.alignment.pass_over({0: 40, 1: 5})

    assert bench.store.gaps == bench.figures.losses == [Loss(0, 10, 40), Loss(1, 0, 5)]
    assert bench.store.offsets == {0: 40, 1: 5}


@pytest.mark.parametrize(
    ("stored", "end"), [(9, 12), (12, 12), (10, 13)], ids=["records are not stored", "done", "not at the end"]
)
async def test_an_offset_is_moved_only_from_within_what_was_read_past_and_to_the_end(stored: int, end: int) -> None:
    bench = Bench()
    await bench.start(p0=stored)
    bench.log.read_past = {0: (10, 12)}

    await bench.pipeline.alignment.pass_over({0: end})

    assert bench.store.offsets == {0: stored}


async def test_what_another_owner_stored_first_turns_the_passing_over_away() -> None:
    bench = Bench()
    await bench.start(p0=10)
    bench.log.read_past, bench.store.offsets[0] = {0: (10, 12)}, 15

    await bench.pipeline.alignment.pass_over({0: 12})

    assert bench.store.offsets == {0: 15}


async def test_losses_of_one_window_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(batch_timeout_s=0.05)
    await bench.start(p0=5, p1=5)
    bench.log.starts = {0: 8, 1: 9}

    with caplog.at_level(logging.ERROR, "stream_app"):
        await bench.deliver(chunk(0, [8], position=5), chunk(1, [9], position=5))
        await until(lambda: len(bench.acknowledged) == 2)

    (line,) = caplog.records
    assert line.gaps == ["partition 0: 5 to 8", "partition 1: 5 to 9"]  # type: ignore[attr-defined]


async def test_kafka_away_while_a_hole_is_examined_is_waited_for() -> None:
    bench = Bench()
    await bench.start(p0=5)
    bench.log.troubles = [LogUnavailableError("away")] * 3

    await bench.deliver(chunk(0, [8], position=5))
    await until(lambda: bench.acknowledged)
    await quiet()

    assert bench.failures == []
    assert (bench.figures.retries, bench.figures.away) == (3, {"kafka"})


async def test_postgresql_away_is_told_to_upkeep_and_not_waited_for_there() -> None:
    bench = Bench()
    bench.store.troubles = [AWAY]

    with pytest.raises(StoreUnavailableError):
        await bench.pipeline.alignment.find_positions([0])
