"""SIGTERM ends a worker within ten seconds, whatever it is in the middle of."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.conftest import MakeStack
from tests.integration.stream_app.workers import Tables, Topic, Worker
from tests.processes import Spawner, eventually, http_status
from tests.servers import Stack
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_TRY_LATER

pytestmark = pytest.mark.integration
WITHIN_S = 10.0


async def says(worker: Worker, words: str) -> bool:
    """Whether its log holds these words."""
    return words in worker.process.log_text()


def is_unready(url: str) -> bool:
    """Whether the status server is there and says 503."""
    try:
        return http_status(url) == 503
    except OSError:
        return False


async def test_an_idle_worker_ends_with_0(stack: Stack, spawn: Spawner) -> None:
    worker = await Worker(spawn, stack).ready()
    worker.child.send(signal.SIGTERM)

    assert await worker.exit_code(WITHIN_S) == 0


async def test_a_worker_under_load_ends_with_0_and_the_next_one_goes_on_without_a_duplicate(
    make_stack: MakeStack, spawn: Spawner
) -> None:
    stack = make_stack(partitions=4, variables={"THREATLOG_INGESTION_BATCH_SIZE": "100"})
    topic, tables = Topic(stack), Tables(stack)
    await asyncio.gather(*(topic.produce_events(4000, partition) for partition in range(4)))
    first = await Worker(spawn, stack).ready()

    async def some() -> bool:
        return await tables.count() > 0

    await eventually(some, "rows are coming")
    first.child.send(signal.SIGTERM)

    assert await first.exit_code(WITHIN_S) == 0
    stored = await tables.count()
    assert sum((await tables.offsets()).values()) == stored
    second = await Worker(spawn, stack).ready()
    await tables.wait_count(16_000)
    await tables.assert_rollups_equal_rows()
    assert await second.metric("threatlog_worker_stored_events_total") == 16_000 - stored


async def test_a_worker_whose_window_cannot_end_says_so_with_75(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=1, variables={"THREATLOG_INGESTION_BATCH_TIMEOUT": "5ms"})
    topic, tables = Topic(stack), Tables(stack)
    worker = await Worker(spawn, stack).ready()
    await topic.produce_events(1)
    await tables.wait_count(1)
    stack.servers.postgres.freeze()
    try:
        await topic.produce_events(10)

        async def window_is_stuck() -> bool:
            # Fetched, and still not stored a hundred batch timeouts later.
            seen = []
            for _ in range(10):
                seen.append(await worker.metric("threatlog_worker_buffered_events"))
                await asyncio.sleep(0.05)
            return seen == [10.0] * 10

        await eventually(window_is_stuck, "the window is under way")
        worker.child.send(signal.SIGTERM)
        assert await worker.exit_code(WITHIN_S) == EXIT_TRY_LATER
    finally:
        stack.servers.postgres.thaw()

    await Worker(spawn, stack).ready()
    await tables.wait_count(11)


async def test_an_idle_worker_ends_with_0_also_while_postgresql_is_frozen(stack: Stack, spawn: Spawner) -> None:
    worker = await Worker(spawn, stack).ready()
    stack.servers.postgres.freeze()
    try:
        worker.child.send(signal.SIGTERM)
        assert await worker.exit_code(WITHIN_S) == 0
    finally:
        stack.servers.postgres.thaw()


async def test_a_worker_that_never_reached_kafka_waits_and_ends_with_0_when_told(stack: Stack, spawn: Spawner) -> None:
    worker = Worker(spawn, stack, THREATLOG_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    async def has_waited() -> bool:
        assert worker.child.running, worker.process.log_text()
        return await asyncio.to_thread(is_unready, worker.url("/readyz"))

    await eventually(has_waited, "it says that it is not ready")
    await eventually(partial(says, worker, "Kafka is away"), "it says what it waits for")
    # Faust gave up within two seconds.
    began = asyncio.get_running_loop().time()

    async def three_seconds_on() -> bool:
        assert worker.child.running, worker.process.log_text()
        return asyncio.get_running_loop().time() - began > 3

    await eventually(three_seconds_on, "it still waits")
    worker.child.send(signal.SIGTERM)

    assert await worker.exit_code(WITHIN_S) == 0
    assert worker.process.log_text().count("Kafka is away") == 1


async def test_a_worker_started_before_kafka_begins_once_kafka_is_there(stack: Stack, spawn: Spawner) -> None:
    topic, tables, kafka = Topic(stack), Tables(stack), stack.servers.kafka
    await topic.produce_events(5)
    await asyncio.to_thread(kafka.stop)
    worker = Worker(spawn, stack)
    await eventually(partial(says, worker, "Kafka is away"), "it says what it waits for")
    # Not in a thread: a server dies with the one that started it.
    kafka.start()
    await asyncio.to_thread(kafka.wait_ready, 60)

    await worker.ready()
    await tables.wait_count(5)


async def test_a_user_that_postgresql_refuses_is_a_fault_of_the_configuration(stack: Stack, spawn: Spawner) -> None:
    worker = Worker(spawn, stack, THREATLOG_POSTGRES_USER="nobody_of_this_name")

    assert await worker.exit_code(40) == EXIT_CONFIGURATION
    assert "refuses postgres.user" in worker.process.log_text()


async def test_records_with_their_producers_time_are_a_fault_of_the_configuration(
    make_stack: MakeStack, spawn: Spawner
) -> None:
    stack = make_stack(partitions=1)
    topic = Topic(stack)
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, {"message.timestamp.type": "CreateTime"})
    await topic.on_admin(lambda admin: admin.alter_configs([resource]))
    worker = await Worker(spawn, stack).ready()
    await topic.produce_events(1)

    assert await worker.exit_code(40) == EXIT_CONFIGURATION
    assert "threatlog topics" in worker.process.log_text()
    assert await Tables(stack).count() == 0


async def test_a_taken_metrics_port_is_a_fault_of_the_configuration(stack: Stack, spawn: Spawner) -> None:
    worker = Worker(spawn, stack)
    second = Worker(spawn, stack, THREATLOG_STREAM_METRICS_PORT=str(stack.servers.redis.port))

    assert await second.exit_code(20) == EXIT_CONFIGURATION
    assert "stream.metrics_port" in second.process.log_text()
    worker.child.kill()


async def test_a_wrong_setting_is_named(stack: Stack, spawn: Spawner) -> None:
    worker = Worker(spawn, stack, THREATLOG_INGESTION_BATCH_SIZE="none")

    assert await worker.exit_code(20) == EXIT_CONFIGURATION
    assert "batch_size" in worker.process.log_text().lower()
