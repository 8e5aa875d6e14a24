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


async def test_stored_records_are_not_kept_while_their_acknowledgement_waits_for_redis() -> None:
    bench = Bench(batch_size=2)
    bench.mirror.tells = lambda _: False
    await bench.start(p0=0)
    delivered = chunk(0, range(2))

    await bench.deliver(delivered)
    await until(lambda: "mirror" in bench.journal)
    await quiet()

    assert len(delivered.records) == 0
