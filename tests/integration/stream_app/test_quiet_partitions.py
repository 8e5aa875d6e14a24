"""What a worker sees to where no record comes: markers, retention, PostgreSQL away, set back or emptied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from tests.conftest import MakeStack
from tests.fakes.kafka_records import event_json
from tests.integration.stream_app.workers import RedisKeysOf, Tables, Topic, Worker
from tests.processes import Spawner, eventually
from tests.servers import Stack

pytestmark = pytest.mark.integration


@asynccontextmanager
async def transactional(stack: Stack) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of transactions."""
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.settings.kafka.bootstrap_servers, transactional_id=f"{stack.name}-tx"
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def is_at(tables: Tables, offsets: dict[int, int]) -> bool:
    """Whether these are stored, and all partitions until just now."""
    moving = "SELECT bool_and(stored_until > now() - interval '3 s') FROM consumer_offsets"
    return await tables.offsets() == offsets and bool(await tables.value(moving))


async def test_transactions_leave_their_committed_records_and_no_lag(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    worker = await Worker(spawn, stack).ready()
    async with transactional(stack) as producer:
        async with producer.transaction():
            for n in range(3):
                await producer.send_and_wait(topic.name, event_json(message=f"committed-{n}"), partition=0)
        # Three records and a marker.
        await eventually(lambda: is_at(tables, {0: 4}), "stored to the end, past the marker")
        await producer.begin_transaction()
        await producer.send_and_wait(topic.name, event_json(message="aborted"), partition=0)
        await producer.abort_transaction()
        await eventually(lambda: is_at(tables, {0: 6}), "stored to the end, past the aborted record")
        await topic.produce_events(2)
        await producer.begin_transaction()
        await producer.send_and_wait(topic.name, event_json(message="late"), partition=0)
        # Open: neither it nor what follows it is an event yet.
        await topic.produce_events(1, source="after-late")
        await eventually(lambda: is_at(tables, {0: 8}), "stored to where the open transaction begins")
        await producer.commit_transaction()
    await tables.wait_count(7)
    await eventually(lambda: is_at(tables, {0: 11}), "stored to the end")

    assert "aborted" not in await tables.messages()
    assert await tables.value("SELECT count(*) FROM offset_gaps") == 0
    await tables.assert_rollups_equal_rows()
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")
    assert worker.child.running


async def test_a_partition_emptied_by_retention_is_counted_and_goes_on(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1)
    topic, tables = Topic(stack), Tables(stack)
    await topic.produce_events(10)
    first = await Worker(spawn, stack).ready()
    await tables.wait_count(10)
    assert await asyncio.to_thread(first.child.stop, 12.0) == 0
    await topic.produce_events(20)
    await topic.delete_before(30)

    second = await Worker(spawn, stack).ready()
    await eventually(lambda: is_at(tables, {0: 30}), "the gap is written, and the time moves")

    gaps = await tables.fetch("SELECT partition, from_offset, to_offset FROM offset_gaps")
    assert [tuple(gap) for gap in gaps] == [(0, 10, 30)]
    assert await second.metric("threatlog_worker_offset_gap_events_total") == 20


async def test_an_idle_worker_whose_database_is_set_back_fills_it_again(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=2)
    topic, tables = Topic(stack), Tables(stack)
    await Worker(spawn, stack).ready()
    await topic.produce_events(10, 0)
    await topic.produce_events(10, 1)
    await tables.wait_count(20)
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")
    # One partition is set back, the other is not known any more.
    await tables.fetch(
        "TRUNCATE logs, log_rollup_minute, log_rollup_hour, log_rollup_total, log_count_minute, log_count_hour"
    )
    await tables.fetch(
        "WITH gone AS (DELETE FROM consumer_offsets WHERE partition = 1)"
        " UPDATE consumer_offsets SET next_offset = 0, counted_offset = 0 WHERE partition = 0"
    )

    await tables.wait_count(20)

    await eventually(lambda: is_at(tables, {0: 10, 1: 10}), "stored to the end again")
    await tables.assert_rollups_equal_rows()
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")


async def test_postgresql_away_at_the_start_for_longer_than_an_assignment_waits_leaves_no_partition_standing(
    make_stack: MakeStack, spawn: Spawner
) -> None:
    stack = make_stack(partitions=2)
    topic, tables, postgres = Topic(stack), Tables(stack), stack.servers.postgres
    await topic.produce_events(10)
    first = await Worker(spawn, stack).ready()
    await tables.wait_count(10)
    assert await asyncio.to_thread(first.child.stop, 12.0) == 0
    await asyncio.to_thread(postgres.stop)
    second = Worker(spawn, stack)

    async def in_group() -> bool:
        try:
            _, body = await second.health()
        except OSError:
            return False
        return bool(body["consumer_group"] == "ok")

    await eventually(in_group, "it is in the group")
    began = asyncio.get_running_loop().time()

    async def longer() -> bool:
        return asyncio.get_running_loop().time() - began > 23

    await eventually(longer, "the assignment gave up")
    postgres.start()
    await asyncio.to_thread(postgres.wait_ready, 60)

    # Without a record.
    await eventually(lambda: is_at(tables, {0: 10, 1: 0}), "both partitions are stored until just now")
    await topic.produce_events(5)
    await tables.wait_count(15)
