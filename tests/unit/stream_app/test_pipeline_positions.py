"""The pipeline where positions are not what it expects: moved, gone, lost, sought, or above the end of the topic."""

from __future__ import annotations

import asyncio
import logging

import pytest

from stream_app.outcomes import Loss, StoreUnavailableError
from stream_app.pipeline import TopicCutError
from tests.fakes.kafka_records import chunk
from tests.unit.stream_app.pipeline_bench import Bench, until

AWAY = StoreUnavailableError("away")


async def test_offsets_that_moved_make_the_window_be_cut_anew() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.offsets[0] = 2  # another owner was faster

    await bench.deliver(chunk(0, range(5)))
    await until(lambda: bench.acknowledged)

    assert bench.stored_offsets_of_rows == [(0, 2), (0, 3), (0, 4)]
    assert bench.pipeline.stored_offsets == {0: 5}


async def test_what_another_owner_stored_whole_is_acknowledged_and_not_written() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.offsets[0] = 9

    await bench.deliver(chunk(0, range(5)))
    await until(lambda: bench.acknowledged)

    assert bench.stored_offsets_of_rows == []
    assert bench.store.offsets == {0: 9}


async def test_the_next_window_is_cut_for_what_was_found_when_offsets_moved() -> None:
    bench = Bench(batch_size=5)
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()
    await bench.deliver(chunk(0, range(5)), chunk(0, range(5, 10)))
    await until(lambda: "writing" in bench.journal)
    bench.store.offsets[0] = 7
    bench.store.gate.set()
    await until(lambda: len(bench.acknowledged) == 2)

    assert bench.stored_offsets_of_rows == [(0, 7), (0, 8), (0, 9)]


async def test_a_gap_seeks_back_and_nothing_of_that_partition_is_written_or_acknowledged() -> None:
    bench = Bench()
    await bench.start(p0=5, p1=0)

    await bench.deliver(chunk(0, range(10, 12)), chunk(1, range(2)))
    await until(lambda: bench.acknowledged and bench.log.seeks)

    assert bench.log.seeks == [(0, 5)]
    assert bench.acknowledged == [(1, 2)]
    assert bench.stored_offsets_of_rows == [(1, 0), (1, 1)]
    assert bench.store.offsets == {0: 5, 1: 2}


async def test_after_a_seek_chunks_fetched_before_it_are_dropped_until_the_sought_one_comes() -> None:
    bench = Bench()
    await bench.start(p0=5)
    await bench.deliver(chunk(0, range(10, 12)))
    await until(lambda: bench.log.seeks)

    await bench.deliver(chunk(0, range(12, 14)), chunk(0, range(5, 14)), chunk(0, range(14, 16)))
    await until(lambda: (0, 16) in bench.acknowledged)

    assert bench.stored_offsets_of_rows == [(0, offset) for offset in range(5, 16)]
    assert bench.log.seeks == [(0, 5)]


async def test_a_second_restore_to_the_same_offset_seeks_back_again() -> None:
    bench = Bench()
    await bench.start(p0=5)
    for _ in range(2):
        await bench.deliver(chunk(0, range(10, 12)))
        await until(lambda: bench.log.seeks)
        assert bench.log.seeks.pop() == (0, 5)
        await bench.deliver(chunk(0, range(5, 10)))
        await until(lambda: (0, 10) in bench.acknowledged)
        bench.store.offsets[0] = 5
        bench.store.logs.clear()
        bench.acknowledged.clear()


async def test_a_database_restored_to_before_it_knew_the_partition_is_filled_from_the_logs_start() -> None:
    bench = Bench()
    await bench.start(p0=5)
    bench.store.offsets.clear()
    bench.log.starts[0] = 2

    await bench.deliver(chunk(0, range(5, 8)))
    await until(lambda: bench.log.seeks)
    await bench.deliver(chunk(0, range(2, 8)))
    await until(lambda: (0, 8) in bench.acknowledged)

    assert bench.log.seeks == [(0, 2)]
    assert bench.stored_offsets_of_rows == [(0, offset) for offset in range(2, 8)]


async def test_offsets_that_the_log_still_has_room_for_are_no_loss() -> None:
    bench = Bench()
    await bench.start(p0=5)

    await bench.deliver(chunk(0, [8], position=5))
    await until(lambda: bench.acknowledged)

    assert bench.figures.losses == bench.store.gaps == []
    assert bench.store.offsets == {0: 9}


async def test_a_real_loss_is_counted_exactly_and_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.start(p0=5)
    bench.log.starts[0] = 8

    with caplog.at_level(logging.ERROR, "stream_app.pipeline"):
        await bench.deliver(chunk(0, [10], position=5))
        await until(lambda: bench.acknowledged)

    # 8 and 9 are absent for another reason: the log still reaches back to them.
    assert bench.figures.losses == bench.store.gaps == [Loss(0, 5, 8)]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_log_that_moved_on_meanwhile_loses_no_more_than_the_hole() -> None:
    bench = Bench()
    await bench.start(p0=5)
    bench.log.starts[0] = 50

    await bench.deliver(chunk(0, [10, 11], position=5))
    await until(lambda: bench.acknowledged)

    assert bench.store.gaps == [Loss(0, 5, 10)]


async def test_a_partition_never_heard_of_starts_where_the_store_says() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.offsets[1] = 4

    await bench.deliver(chunk(1, range(2, 6)))
    await until(lambda: bench.acknowledged)

    assert bench.stored_offsets_of_rows == [(1, 4), (1, 5)]


async def test_positions_are_asked_for_until_the_store_answers() -> None:
    bench = Bench()
    bench.store.troubles = [AWAY] * 3

    await bench.start(p0=3)

    assert bench.figures.retries == 3
    assert bench.pipeline.stored_offsets == {0: 3}


async def test_an_assignment_makes_redis_be_rebuilt() -> None:
    bench = Bench()
    await bench.start(p0=3)

    assert bench.mirror.stale == 1


async def test_a_topic_that_ends_below_what_is_stored_ends_the_process_and_says_why() -> None:
    async def ends_at_7() -> dict[int, int]:
        return {0: 7}

    bench = Bench()
    bench.store.offsets[0] = 100

    await bench.pipeline.start_positions({0: 0}, ends_at_7)

    (error,) = bench.failures
    assert isinstance(error, TopicCutError)
    assert "stored up to offset 100 but ends at 7" in str(error)


async def test_the_end_is_asked_for_after_the_offset_since_another_worker_may_store_in_between() -> None:
    bench = Bench()
    bench.store.troubles = [AWAY]

    async def ends() -> dict[int, int]:
        # What another worker stored up to just before this moment is below it.
        assert bench.store.offsets[0] == 0
        return {0: 5}

    await bench.pipeline.start_positions({0: 0}, ends)

    assert bench.failures == []


async def test_a_topic_made_anew_under_a_running_worker_ends_the_process() -> None:
    bench = Bench()
    await bench.start(p0=100)

    bench.pipeline.log_went_back(0, 100, 0)

    assert [type(error) for error in bench.failures] == [TopicCutError]
