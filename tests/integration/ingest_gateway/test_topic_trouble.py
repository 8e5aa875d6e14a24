"""What the gateway makes of a topic that changes under it: too small, deleted, grown."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.processes import Spawner, http_json, wait_until
from tests.servers import Stack, run_now
from threatlog.embedded.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.no_database]
EVENT = {"timestamp": "2026-11-24T10:15:30.123Z", "severity": "LOW", "source": "s", "message": "m"}


@pytest.fixture
def send(stack: Stack, spawn: Spawner) -> Callable[[], tuple[int, Any]]:
    """Sends one event of 20 KB that does not shrink to a running gateway."""
    port = free_port(random.Random())
    environment = stack.with_environment(THREATLOG_SERVER_PORT=str(port), THREATLOG_SERVER_WRITE_TIMEOUT="2s")
    process = spawn("gateway", ["-m", "threatlog", "gateway"], environment)
    process.wait_http(f"http://127.0.0.1:{port}/health")
    noise = random.Random(1).randbytes(10_000).hex()
    return lambda: http_json(f"http://127.0.0.1:{port}/api/v1/logs/ingest", {**EVENT, "message": noise})


def on_kafka(stack: Stack, do: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    async def run() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            await do(admin)
        finally:
            await admin.close()

    run_now(run())


def limit_messages(stack: Stack, max_bytes: int) -> None:
    resource = ConfigResource(
        ConfigResourceType.TOPIC, stack.settings.kafka.topic, {"max.message.bytes": str(max_bytes)}
    )
    on_kafka(stack, lambda admin: admin.alter_configs([resource]))


def test_a_topic_that_takes_only_small_messages_is_named_and_the_gateway_recovers(
    stack: Stack, send: Callable[[], tuple[int, Any]]
) -> None:
    assert send()[0] == 201
    limit_messages(stack, 2000)
    wait_until(lambda: send()[0] == 503, 20, "the topic refuses")
    assert "max.message.bytes" in send()[1]["detail"]

    limit_messages(stack, 1_048_588)
    wait_until(lambda: send()[0] == 201, 20, "events are taken again")
    assert {send()[0] for _ in range(20)} == {201}, "no partition is left with a gap in its sequence"


def test_a_topic_that_was_deleted_and_made_anew_is_taken_up(stack: Stack, send: Callable[[], tuple[int, Any]]) -> None:
    topic = stack.settings.kafka.topic
    assert {send()[0] for _ in range(8)} == {201}
    on_kafka(stack, lambda admin: admin.delete_topics([topic]))
    wait_until(lambda: send()[0] == 503, 20, "the topic is missed")

    on_kafka(stack, lambda admin: admin.create_topics([NewTopic(topic, 2, 1)]))
    wait_until(lambda: {send()[0] for _ in range(10)} == {201}, 40, "events are taken again, whatever the partition")


def test_partitions_that_were_added_are_used_without_a_restart(
    stack: Stack, send: Callable[[], tuple[int, Any]]
) -> None:
    before = stack.settings.kafka.partitions
    on_kafka(stack, lambda admin: admin.create_partitions({stack.settings.kafka.topic: NewPartitions(before + 1)}))

    wait_until(lambda: send()[1]["receipt"]["partition"] == before, 40, "the new partition is used")
