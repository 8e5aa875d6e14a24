"""Creates the topic of the events, or brings an existing one in line with the settings; the only aiokafka admin here.

Seen with aiokafka 0.14.0 and Kafka 4.4: `alter_configs` replaces all settings of a topic, so those that somebody else
made are read first and sent along. Kafka can add partitions to a topic but never take one away, and changes replication
only by reassigning partitions, which stays an operator's decision.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from threatlog.process.exit_codes import EXIT_TRY_LATER
from threatlog.process.kafka_connection import connect_keywords, noting_connect_faults
from threatlog.process.server_settings import Kafka
from threatlog.process.settings import Settings

REQUEST_TIMEOUT_MS: Final = 5_000
_RETRY_INTERVAL_S: Final = 0.5
_POLL_INTERVAL_S: Final = 0.05
# Kafka's default for one batch; one event of the largest size and its framing must fit as well.
_LEAST_MAX_MESSAGE_BYTES: Final = 1_048_588
_FRAMING_BYTES: Final = 64 * 1024
# DescribeConfigs marks so what was set on the topic itself, not inherited.
_SET_ON_TOPIC: Final = 1


@dataclass(frozen=True, slots=True)
class TopicShape:
    """What the topic should be."""

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


def shape_of(settings: Settings) -> TopicShape:
    """The topic's shape from the settings. The broker's clock stamps the records: lag and freshness depend on it."""
    kafka = settings.kafka
    return TopicShape(
        kafka.topic,
        kafka.partitions,
        kafka.replication_factor,
        {
            "cleanup.policy": "delete",
            "max.message.bytes": str(max(_LEAST_MAX_MESSAGE_BYTES, settings.limits.max_event_bytes + _FRAMING_BYTES)),
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(kafka.min_insync_replicas),
            "retention.ms": str(int(kafka.retention * 1000)),
        },
    )


def run(settings: Settings, say: Callable[[str], None], deadline_s: float = 60.0) -> int:
    """Makes the topic what the settings say and tells what it did; the exit code is 0, or 75 after `deadline_s`."""
    # Its own lines, one for each attempt, would bury ours; what they say of the cause is heard all the same.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    return asyncio.run(_until_deadline(settings, say, deadline_s))


async def _until_deadline(settings: Settings, say: Callable[[str], None], deadline_s: float) -> int:
    deadline = time.monotonic() + deadline_s
    shape, told = shape_of(settings), ""
    while True:
        with noting_connect_faults(settings.kafka) as faults:
            try:
                async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                    for line in await _ensure(shape, settings.kafka):
                        say(line)
                return 0
            except (KafkaError, OSError, TimeoutError) as error:
                reason = _words(error, shape) or faults.reason(error)
        if time.monotonic() + _RETRY_INTERVAL_S >= deadline:
            say(f"gave up after {deadline_s:g} s: {reason}")
            return EXIT_TRY_LATER
        if reason != told:
            say(f"waiting for Kafka at {settings.kafka.bootstrap_servers}: {reason}")
            told = reason
        await asyncio.sleep(_RETRY_INTERVAL_S)


def _words(error: Exception, shape: TopicShape) -> str | None:
    if isinstance(error, InvalidReplicationFactorError):
        return f"fewer than {shape.replication_factor} brokers (kafka.replication_factor) are there"
    if isinstance(error, IncompatibleBrokerVersion):
        return f"this Kafka is too old: {error}"
    return None


async def _ensure(shape: TopicShape, kafka: Kafka) -> list[str]:
    admin = AIOKafkaAdminClient(
        **connect_keywords(kafka), client_id="threatlog-topics", request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    try:
        await admin.start()
        described = await _describe(admin, shape.name)
        if described is None:
            if await _create(admin, shape):
                # Brokers learn of a new topic a moment later; who is started next should find it.
                while len(await _describe(admin, shape.name) or []) < shape.partitions:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_INTERVAL_S)
                return [
                    f"topic {shape.name} created: {shape.partitions} partitions, replication {shape.replication_factor}"
                ]
            described = await _describe(admin, shape.name)
        done = await _grow(admin, shape, described or [])
        return [*done, *await _configure(admin, shape)] or [f"topic {shape.name} is as it should be"]
    finally:
        await admin.close()


async def _describe(admin: AIOKafkaAdminClient, topic: str) -> list[dict[str, Any]] | None:
    """The topic's partitions; None when there is no such topic."""
    (description,) = await admin.describe_topics([topic])
    error = for_code(description["error_code"])
    if error.errno == 3:  # UNKNOWN_TOPIC_OR_PARTITION
        return None
    if description["error_code"]:
        raise error(f"topic {topic} cannot be described")
    partitions: list[dict[str, Any]] = description["partitions"]
    return partitions


async def _create(admin: AIOKafkaAdminClient, shape: TopicShape) -> bool:
    """False when somebody else was quicker."""
    new = NewTopic(shape.name, shape.partitions, shape.replication_factor, topic_configs=shape.configs)
    answer: Any = await admin.create_topics([new], timeout_ms=REQUEST_TIMEOUT_MS)
    for _topic, code, *message in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return False
        if code:
            raise for_code(code)(message[0] if message else "")
    return True


async def _grow(admin: AIOKafkaAdminClient, shape: TopicShape, partitions: list[dict[str, Any]]) -> list[str]:
    present, done = len(partitions), []
    if present < shape.partitions:
        await admin.create_partitions({shape.name: NewPartitions(shape.partitions)}, timeout_ms=REQUEST_TIMEOUT_MS)
        done.append(f"topic {shape.name}: {present} partitions grown to {shape.partitions}")
    elif present > shape.partitions:
        done.append(f"topic {shape.name} keeps its {present} partitions: Kafka cannot take any away")
    replicas = {len(partition["replicas"]) for partition in partitions}
    if replicas and replicas != {shape.replication_factor}:
        shown = ", ".join(map(str, sorted(replicas)))
        done.append(
            f"topic {shape.name} keeps replication {shown}, not {shape.replication_factor}: "
            "reassign its partitions with kafka-reassign-partitions to change that"
        )
    return done


async def _configure(admin: AIOKafkaAdminClient, shape: TopicShape) -> list[str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, shape.name)
    (answer,) = await admin.describe_configs([resource])
    effective: dict[str, str] = {}
    own: dict[str, str] = {}
    for code, message, _type, _name, entries in _rows(answer):
        if code:
            raise for_code(code)(message)
        for name, value, _read_only, source, *_rest in entries:
            effective[name] = value
            if source == _SET_ON_TOPIC:
                own[name] = value
    wrong = {name: value for name, value in shape.configs.items() if effective.get(name) != value}
    if not wrong:
        return []
    wanted = ConfigResource(ConfigResourceType.TOPIC, shape.name, {**own, **shape.configs})
    (altered,) = await admin.alter_configs([wanted])
    for code, message, *_rest in _rows(altered):
        if code:
            raise for_code(code)(message)
    return [f"topic {shape.name}: {name} was {effective.get(name)}, is {value}" for name, value in wrong.items()]


def _rows(answer: Any) -> list[Any]:
    rows: list[Any] = answer.resources
    return rows
