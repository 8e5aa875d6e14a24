"""Several workers share the partitions; one that dies, or comes back as a zombie, doubles and loses nothing."""

from __future__ import annotations

import asyncio
import random
import signal

import psutil
import pytest

from tests.integration.stream_app.workers import RedisKeysOf, Tables, Topic, Worker
from tests.processes import Spawner, eventually, http_status
from tests.servers import Stack
from threatlog.embedded.ports import free_port

pytestmark = pytest.mark.integration


async def assigned(worker: Worker) -> float:
    try:
        return await worker.metric("threatlog_worker_assigned_partitions")
    except OSError:
        return 0.0


async def test_worker_count_2_runs_two_that_share_the_partitions(stack: Stack, spawn: Spawner) -> None:
    port = free_pair()
    supervisor = Worker(spawn, stack, THREATLOG_INGESTION_WORKER_COUNT="2", THREATLOG_STREAM_METRICS_PORT=str(port))
    supervisor.port = port
    second = _at(supervisor, port + 1)
    topic, tables = Topic(stack), Tables(stack)

    async def shared() -> bool:
        return await assigned(supervisor) == 2 and await assigned(second) == 2

    await eventually(shared, "each worker has two partitions", 60)
    for partition in range(4):
        await topic.produce_events(25, partition)
    await tables.wait_count(100)
    await tables.assert_rollups_equal_rows()

    # One that is killed is started anew, with its port.
    children = psutil.Process(supervisor.child.pid).children(recursive=True)
    victims = [child for child in children if "stream_app" in " ".join(child.cmdline()) and not child.children()]
    victims[-1].kill()
    for partition in range(4):
        await topic.produce_events(25, partition)
    await tables.wait_count(200, 60)

    async def both_ready() -> bool:
        urls = (supervisor.url("/livez"), second.url("/livez"))
        return all([await asyncio.to_thread(http_status, url) == 200 for url in urls])

    await eventually(both_ready, "both workers live")
    assert "a worker ended and is started anew" in supervisor.process.log_text()
    supervisor.child.send(signal.SIGTERM)
    assert await supervisor.exit_code(12) == 0
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def free_pair() -> int:
    """A free port whose next one is free as well."""
    from threatlog.embedded.ports import is_free

    while True:
        port = free_port(random.Random())
        if is_free(port + 1):
            return port


def _at(worker: Worker, port: int) -> Worker:
    other = object.__new__(Worker)
    other.process, other.port = worker.process, port
    return other


async def test_a_worker_killed_under_load_loses_and_doubles_nothing(stack: Stack, spawn: Spawner) -> None:
    topic, tables = Topic(stack), Tables(stack)
    variables = {"THREATLOG_INGESTION_BATCH_SIZE": "200"}
    first = await Worker(spawn, stack, **variables).ready()
    await asyncio.gather(*(topic.produce_events(3000, partition) for partition in range(4)))

    async def some() -> bool:
        return await tables.count() > 0

    await eventually(some, "rows are coming")
    first.child.kill()
    second = await Worker(spawn, stack, **variables).ready()
    await tables.wait_count(12_000, 60)

    await tables.assert_rollups_equal_rows()
    assert await second.metric("threatlog_worker_duplicate_events_total") == 0
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")


async def test_a_worker_that_was_stopped_and_woke_as_a_zombie_changes_nothing(stack: Stack, spawn: Spawner) -> None:
    topic, tables = Topic(stack), Tables(stack)
    zombie = await Worker(spawn, stack).ready()
    await topic.produce_events(10)
    await tables.wait_count(10)
    zombie.child.freeze()
    # Longer than the group waits for it: its partitions go to the other one, with what it had fetched unstored.
    heir = Worker(spawn, stack)
    for partition in range(4):
        await topic.produce_events(50, partition)
    await tables.wait_count(210, 60)
    zombie.child.thaw()
    for partition in range(4):
        await topic.produce_events(50, partition)
    await tables.wait_count(410, 60)

    await tables.assert_rollups_equal_rows()
    assert heir.child.running
    await eventually(lambda: RedisKeysOf(stack).equals(tables), "Redis equals the tables")
