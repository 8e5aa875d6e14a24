"""Stopping lets the window under way end; what did not end is known as unfinished."""

from __future__ import annotations

import asyncio

from stream_app.outcomes import StoreUnavailableError
from tests.fakes.kafka_records import chunk
from tests.unit.stream_app.pipeline_bench import Bench, quiet, until

AWAY = StoreUnavailableError("away")


async def test_draining_lets_the_window_under_way_end_and_takes_no_more() -> None:
    bench = Bench(batch_size=2)
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()
    await bench.deliver(chunk(0, range(2)), chunk(0, range(2, 4)))
    await until(lambda: "writing" in bench.journal)

    draining = asyncio.ensure_future(bench.pipeline.drain())
    await quiet()
    assert not draining.done()
    bench.store.gate.set()
    await draining
    await quiet()

    assert bench.acknowledged == [(0, 2)]
    assert bench.store.offsets == {0: 2}
    assert not bench.pipeline.is_writing


async def test_a_window_that_was_given_up_with_the_event_loop_is_left_unfinished() -> None:
    bench = Bench()
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()
    await bench.deliver(chunk(0, range(2)))
    await until(lambda: "writing" in bench.journal)
    assert bench.pipeline.left_unfinished

    (writing,) = [task for task in asyncio.all_tasks() if task.get_name() == "write"]
    writing.cancel()
    await quiet()

    assert not bench.pipeline.is_writing
    assert bench.pipeline.left_unfinished


async def test_a_window_that_was_stored_leaves_nothing_unfinished() -> None:
    bench = Bench()
    await bench.start(p0=0)
    await bench.deliver(chunk(0, range(2)))
    await until(lambda: bench.acknowledged)
    await quiet()

    assert not bench.pipeline.left_unfinished


async def test_draining_an_idle_pipeline_ends_at_once() -> None:
    bench = Bench()
    await bench.pipeline.drain()

    assert not bench.pipeline.is_writing


async def test_a_worker_says_that_it_begins_before_it_reads_and_that_it_ended_after_all_else() -> None:
    bench = Bench(batch_timeout_s=10.0)

    async def ends() -> dict[int, int]:
        bench.journal.append("ends")
        return {0: 5, 1: 0}

    bench.store.offsets.update({0: 0, 1: 0})
    await bench.pipeline.start_positions({0: 0, 1: 0}, ends)
    assert bench.journal == ["ends", "begin [0, 1]"]
    await bench.pipeline.drain()
    assert bench.journal[-1] == "end"


async def test_tables_that_lack_where_begins_are_noted_end_the_worker_and_not_faust() -> None:
    bench = Bench()
    bench.lives.trouble = RuntimeError("no such table")
    await bench.start(p0=0)

    assert bench.failures == [bench.lives.trouble]
