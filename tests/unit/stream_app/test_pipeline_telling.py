"""When Redis is told: at once, or of several windows together; nothing is acknowledged before."""

from __future__ import annotations

import asyncio

from tests.fakes.kafka_records import chunk
from tests.unit.stream_app.pipeline_bench import Bench, quiet, until


async def test_redis_may_wait_only_while_a_further_window_is_there() -> None:
    bench = Bench(batch_size=2)
    said: list[bool] = []

    def tells(more_waits: bool) -> bool:
        said.append(more_waits)
        return True

    bench.mirror.tells = tells
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()

    await bench.deliver(chunk(0, range(2)), chunk(0, range(2, 4)))
    await until(lambda: "writing" in bench.journal)
    await quiet()
    bench.store.gate.set()
    await until(lambda: len(said) == 2)

    assert said == [True, False]


async def test_what_was_put_off_is_told_and_acknowledged_soon_also_when_no_window_follows() -> None:
    bench = Bench(batch_size=2)
    bench.mirror.tells = lambda _: False
    await bench.start(p0=0)

    await bench.deliver(chunk(0, range(2)))
    await until(lambda: bench.acknowledged == [(0, 2)])

    assert bench.journal[-2:] == ["tell", "ack 0:2"]


async def test_a_window_with_nothing_new_does_not_acknowledge_one_that_redis_was_not_told_of() -> None:
    bench = Bench(batch_size=2)
    bench.mirror.tells = lambda _: False
    await bench.start(p0=0)
    bench.store.gate = asyncio.Event()

    # The second repeats the first: it falls below the fence.
    await bench.deliver(chunk(0, range(2)), chunk(0, range(2)))
    bench.store.gate.set()
    await until(lambda: len(bench.acknowledged) == 2)

    assert bench.journal[-3:] == ["tell", "ack 0:2", "ack 0:2"]


async def test_draining_tells_what_was_put_off_before_it_is_acknowledged() -> None:
    bench = Bench(batch_size=2, tell_within_s=3600.0)
    bench.mirror.tells = lambda _: False
    await bench.start(p0=0)
    await bench.deliver(chunk(0, range(2)), chunk(0, range(2)))
    await until(lambda: bench.journal.count("mirror") == 1 and not bench.pipeline.is_writing)
    assert bench.acknowledged == []

    await bench.pipeline.drain()

    assert "tell" in bench.journal
    assert bench.journal.index("tell") < bench.journal.index("ack 0:2")


async def test_stored_records_are_not_kept_while_their_acknowledgement_waits_for_redis() -> None:
    bench = Bench(batch_size=2)
    bench.mirror.tells = lambda _: False
    await bench.start(p0=0)
    delivered = chunk(0, range(2))

    await bench.deliver(delivered)
    await until(lambda: "mirror" in bench.journal)
    await quiet()

    assert len(delivered.records) == 0
