"""`threatlog topics` on a real Kafka: it makes the topic, brings it in line, and says what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.conftest import MakeStack
from tests.servers import Stack, run_now
from threatlog.embedded.ports import LOOPBACK
from threatlog.process.exit_codes import EXIT_TRY_LATER
from threatlog.process.server_settings import Kafka
from threatlog.process.settings import Limits, Settings
from threatlog.topics import run

pytestmark = [pytest.mark.integration, pytest.mark.no_database]


def settings_of(stack: Stack, **changes: object) -> Settings:
    """The stack's settings with a topic of the test's own and other changes of the Kafka section."""
    kafka = {**stack.settings.kafka.model_dump(), "topic": f"{stack.name}.topics", "partitions": 3, **changes}
    return Settings(kafka=Kafka.model_validate(kafka))


def run_topics(settings: Settings, deadline_s: float = 30.0) -> tuple[int, list[str]]:
    said: list[str] = []
    code = run(settings, said.append, deadline_s)
    return code, said


def configs_of(settings: Settings) -> Mapping[str, str]:
    async def describe() -> Mapping[str, str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, settings.kafka.topic)
            (answer,) = await admin.describe_configs([resource])
        finally:
            await admin.close()
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    return run_now(describe())


def alter(settings: Settings, **configs: str) -> None:
    async def change() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            named = {name.replace("_", "."): value for name, value in configs.items()}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.kafka.topic, named)])
        finally:
            await admin.close()

    run_now(change())


def test_a_new_topic_has_what_the_settings_say(stack: Stack) -> None:
    settings = settings_of(stack, retention=7200)

    assert run_topics(settings) == (0, [f"topic {settings.kafka.topic} created: 3 partitions, replication 1"])
    configs = configs_of(settings)
    assert configs["message.timestamp.type"] == "LogAppendTime"
    assert configs["min.insync.replicas"] == "1"
    assert configs["retention.ms"] == "7200000"
    assert configs["cleanup.policy"] == "delete"
    assert int(configs["max.message.bytes"]) > Limits().max_event_bytes


def test_a_second_run_changes_nothing_and_says_so(stack: Stack) -> None:
    settings = settings_of(stack)
    run_topics(settings)

    assert run_topics(settings) == (0, [f"topic {settings.kafka.topic} is as it should be"])


def test_a_topic_that_somebody_else_made_is_brought_in_line(stack: Stack) -> None:
    settings = settings_of(stack)
    run_topics(settings)
    alter(settings, message_timestamp_type="CreateTime", retention_ms="1000")
    code, said = run_topics(settings)

    assert code == 0
    assert f"topic {settings.kafka.topic}: message.timestamp.type was CreateTime, is LogAppendTime" in said
    assert configs_of(settings)["message.timestamp.type"] == "LogAppendTime"


def test_settings_that_are_not_ours_are_left_as_they_are(stack: Stack) -> None:
    settings = settings_of(stack)
    run_topics(settings)
    alter(settings, message_timestamp_type="CreateTime", segment_ms="123456")
    run_topics(settings)

    assert configs_of(settings)["segment.ms"] == "123456"


def test_partitions_grow_but_never_shrink(stack: Stack) -> None:
    run_topics(settings_of(stack))
    name = settings_of(stack).kafka.topic

    assert run_topics(settings_of(stack, partitions=5)) == (0, [f"topic {name}: 3 partitions grown to 5"])
    assert run_topics(settings_of(stack, partitions=2)) == (
        0,
        [f"topic {name} keeps its 5 partitions: Kafka cannot take any away"],
    )


def test_another_replication_than_wanted_is_said(stack: Stack) -> None:
    run_topics(settings_of(stack))
    code, said = run_topics(settings_of(stack, replication_factor=2))

    assert code == 0
    assert "keeps replication 1, not 2" in said[0]


def test_too_few_brokers_are_said_and_end_at_the_deadline(stack: Stack) -> None:
    code, said = run_topics(settings_of(stack, replication_factor=3), deadline_s=2.0)

    assert code == EXIT_TRY_LATER
    assert "fewer than 3 brokers" in said[0]
    assert said[-1].startswith("gave up after 2 s")


def test_without_kafka_it_tries_until_the_deadline(stack: Stack) -> None:
    code, said = run_topics(settings_of(stack, bootstrap_servers=f"{LOOPBACK}:1"), deadline_s=1.5)

    assert code == EXIT_TRY_LATER
    assert said[0].startswith(f"waiting for Kafka at {LOOPBACK}:1: ")
    assert len(said) <= 3


async def test_it_goes_on_when_kafka_comes_back(make_stack: MakeStack) -> None:
    stack = make_stack()
    settings = settings_of(stack)
    stack.servers.kafka.freeze()
    running = asyncio.ensure_future(asyncio.to_thread(run_topics, settings, 60.0))
    await asyncio.sleep(0.5)
    assert not running.done()
    stack.servers.kafka.thaw()

    assert (await asyncio.wait_for(running, 60))[0] == 0
