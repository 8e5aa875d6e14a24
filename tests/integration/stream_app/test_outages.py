"""PostgreSQL stopped, frozen or its sessions cut, Redis frozen: nothing is lost. Longer outages are in tests/e2e."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.stream_app.workers import RedisKeysOf, Tables, Topic, Worker
from tests.processes import Spawner, eventually
from tests.servers import RealServer, Stack

pytestmark = pytest.mark.integration


class Sender:
    """Appends small batches to all partitions until it is told to stop."""

    def __init__(self, topic: Topic, partitions: int) -> None:
        self._topic, self._partitions = topic, partitions
        self.sent = 0

    async def run(self) -> None:
        number = 0
        while True:
            await asyncio.shield(self._send(number % self._partitions))
            number += 1

    async def _send(self, partition: int) -> None:
        self.sent += len(await self._topic.produce_events(20, partition))


@asynccontextmanager
async def sending(stack: Stack) -> AsyncIterator[Sender]:
    """Sends for as long as the block runs."""
    sender = Sender(Topic(stack), stack.settings.kafka.partitions)
    task = asyncio.create_task(sender.run())
    yield sender
    before = sender.sent
    task.cancel()
    # The batch under way is shielded, so that what was acknowledged is known.
    await asyncio.gather(task, return_exceptions=True)
    pending = [t for t in asyncio.all_tasks() if t.get_coro().__qualname__ == "Sender._send"]  # type: ignore[union-attr]
    await asyncio.gather(*pending)
    assert sender.sent >= before


async def more(sender: Sender, batches: int = 5) -> None:
    """Waits until further batches were acknowledged."""
    goal = sender.sent + batches * 20

    async def reached() -> bool:
        return sender.sent >= goal

    await eventually(reached, "more is sent")


async def assert_whole(stack: Stack, sender: Sender) -> None:
    """Everything acknowledged is in the table once, counted once, and in Redis."""
    tables = Tables(stack)
    await tables.wait_count(sender.sent, 60)
    await tables.assert_rollups_equal_rows()
    assert await tables.value("SELECT count(*) FROM dead_letters") == 0
    assert await tables.value("SELECT count(*) FROM offset_gaps") == 0
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")


async def restart(server: RealServer) -> None:
    # Not in a thread: a server dies with the one that started it.
    server.start()
    await asyncio.to_thread(server.wait_ready, 60)


@pytest.mark.parametrize("way", ["stopped", "frozen"])
async def test_postgresql_away_for_seconds_loses_nothing(stack: Stack, spawn: Spawner, way: str) -> None:
    postgres = stack.servers.postgres
    worker = await Worker(spawn, stack).ready()
    async with sending(stack) as sender:
        await more(sender)
        if way == "frozen":
            postgres.freeze()
        else:
            await asyncio.to_thread(postgres.stop)
        await more(sender, 10)
        if way == "frozen":
            postgres.thaw()
        else:
            await restart(postgres)
        await more(sender)

    await assert_whole(stack, sender)
    assert worker.child.running
    if way != "frozen":
        assert await worker.metric("threatlog_worker_retries_total") > 0


async def test_sessions_cut_at_random_lose_and_double_nothing(stack: Stack, spawn: Spawner) -> None:
    tables = Tables(stack)
    worker = await Worker(spawn, stack).ready()
    async with sending(stack) as sender:
        for _ in range(15):
            await more(sender, 1)
            await tables.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'threatlog-stream' AND datname = current_database()"
            )

    await assert_whole(stack, sender)
    assert worker.child.running


async def test_a_frozen_redis_costs_no_row_and_equals_the_table_afterwards(stack: Stack, spawn: Spawner) -> None:
    redis, tables = stack.servers.redis, Tables(stack)
    await Worker(spawn, stack).ready()
    async with sending(stack) as sender:
        await more(sender)
        redis.freeze()
        before = await tables.count()
        await more(sender, 5)

        async def rows_keep_coming() -> bool:
            return await tables.count() > before

        await eventually(rows_keep_coming, "rows keep coming without Redis")
        redis.thaw()

    await assert_whole(stack, sender)
