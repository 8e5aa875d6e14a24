"""A partition that gives nothing but dead letters is not read for a while; nothing of it is lost or acknowledged."""

from __future__ import annotations

from functools import partial

from stream_app.chunks import Chunk
from stream_app.dead_letter_breaker import TRY_AGAIN_AFTER_S
from tests.fakes.kafka_records import FakeRecord, chunk, record
from tests.unit.stream_app.pipeline_bench import Bench, quiet, until


def bad(partition: int, start: int, count: int = 10) -> Chunk:
    """A chunk of records that are no events."""
    return chunk(partition, [FakeRecord(start + n, b"no event") for n in range(count)])


async def stopped(limit: int = 20) -> Bench:
    """Partition 0 has given `limit` dead letters in a row."""
    bench = Bench(batch_size=10, dead_letter_limit=limit)
    await bench.start(p0=0, p1=0)
    for start in range(0, limit, 10):
        await bench.deliver(bad(0, start))
        await until(partial(bench.acknowledged.__contains__, (0, start + 10)))
    assert bench.figures.stopped_partitions == 1
    assert bench.journal.count("pause 0") == 1
    return bench


async def test_what_comes_after_the_limit_is_neither_stored_nor_acknowledged() -> None:
    bench = await stopped()
    await bench.deliver(bad(0, 20), chunk(0, [record(30)]))
    await quiet()

    assert bench.store.offsets[0] == 20
    assert bench.acknowledged[-1] == (0, 20)
    assert len(bench.store.dead_letters) == 20


async def test_other_partitions_go_on() -> None:
    bench = await stopped()
    await bench.deliver(bad(0, 20), chunk(1, range(10)))
    await until(lambda: (1, 10) in bench.acknowledged)

    assert bench.store.offsets == {0: 20, 1: 10}


async def test_a_window_is_tried_after_a_while_from_where_it_was_stored() -> None:
    bench = await stopped()
    await bench.deliver(bad(0, 20))
    bench.now_s = TRY_AGAIN_AFTER_S - 1
    await bench.pipeline.alignment.retry_stopped()
    assert "resume 0" not in bench.journal

    bench.now_s = TRY_AGAIN_AFTER_S
    await bench.pipeline.alignment.retry_stopped()
    assert bench.journal[-2:] == ["seek 0:20", "resume 0"]
    assert bench.figures.stopped_partitions == 0

    # Still bad: it is stopped again at once.
    await bench.deliver(bad(0, 20))
    await until(lambda: bench.journal.count("pause 0") == 2)
    bench.now_s *= 2
    await bench.pipeline.alignment.retry_stopped()
    # Mended: it goes on, and counts anew.
    await bench.deliver(chunk(0, [record(n) for n in range(30, 40)]), bad(0, 40))
    await until(lambda: bench.store.offsets[0] == 50)
    assert bench.figures.stopped_partitions == 0


async def test_an_event_in_between_begins_the_count_anew() -> None:
    bench = Bench(batch_size=10, dead_letter_limit=20)
    await bench.start(p0=0)
    for start in range(0, 100, 20):
        await bench.deliver(bad(0, start), chunk(0, [record(start + n) for n in range(10, 20)]))
    await until(lambda: bench.store.offsets[0] == 100)

    assert bench.figures.stopped_partitions == 0


async def test_an_assignment_begins_anew() -> None:
    bench = await stopped()
    await bench.start(p0=20)
    await bench.deliver(bad(0, 20))
    await until(lambda: bench.store.offsets[0] == 30)

    assert bench.figures.stopped_partitions == 0


async def test_without_a_limit_all_of_it_becomes_dead_letters() -> None:
    bench = Bench(batch_size=10)
    await bench.start(p0=0)
    await bench.deliver(*(bad(0, start) for start in range(0, 200, 10)))
    await until(lambda: bench.store.offsets[0] == 200)

    assert len(bench.store.dead_letters) == 200
