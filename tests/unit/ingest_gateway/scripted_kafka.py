"""A Kafka that does what the test says, for the publisher's own logic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from ingest_gateway.connection_keeper import ConnectionPolicy
from ingest_gateway.group_publisher import GroupPublisher, PublisherPolicy
from ingest_gateway.log_connection import OutgoingBatch, TopicPartitions
from ingest_gateway.publishing import PublishUnavailableError, RecordHeaders

POLICY = PublisherPolicy(
    deadline_s=0.2,
    max_unacknowledged_bytes=10_000,
    linger_s=0.001,
    max_batch_bytes=1000,
    connection=ConnectionPolicy(
        probe_interval_s=0.01,
        probe_timeout_s=0.1,
        connect_timeout_s=0.1,
        retry_interval_s=0.01,
        stuck_after_s=0.1,
    ),
)


def with_connection(**changes: Any) -> PublisherPolicy:
    return replace(POLICY, connection=replace(POLICY.connection, **changes))


class ScriptedKafka:
    """Partitions as lists; `answering` holds back every acknowledgement while it is clear, `reachable` every probe.

    Batches of the partitions in `leaderless` wait until they are in it no more.
    """

    def __init__(self, partitions: int = 2) -> None:
        self.log: list[list[bytes]] = [[] for _ in range(partitions)]
        self.batches: list[list[bytes]] = []
        self.connections: list[ScriptedConnection] = []
        self.answering, self.reachable = asyncio.Event(), asyncio.Event()
        self.answering.set()
        self.reachable.set()
        self.refusal: Exception | None = None
        self.leaderless: set[int] = set()
        self.acknowledged: list[float] = []

    async def connect(self) -> ScriptedConnection:
        if not self.reachable.is_set():
            raise PublishUnavailableError("kafka_unavailable", "nobody there")
        self.connections.append(ScriptedConnection(self))
        return self.connections[-1]

    def batch_acknowledged(self, duration_s: float) -> None:
        self.acknowledged.append(duration_s)


class ScriptedConnection:
    def __init__(self, kafka: ScriptedKafka) -> None:
        self.kafka = kafka
        self.closed = False

    def new_batch(self) -> OutgoingBatch:
        return ScriptedBatch(self.kafka)

    async def partitions(self) -> TopicPartitions:
        await self.kafka.reachable.wait()
        existing = frozenset(range(len(self.kafka.log)))
        return TopicPartitions(existing, existing - self.kafka.leaderless)

    async def close(self, timeout_s: float) -> None:  # noqa: ARG002 - the interface's
        self.closed = True


class ScriptedBatch:
    """Takes 1,000 bytes, or one record."""

    def __init__(self, kafka: ScriptedKafka) -> None:
        self.kafka = kafka
        self.values: list[bytes] = []

    def extend(self, values: Sequence[bytes], start: int, headers: RecordHeaders) -> int:  # noqa: ARG002 - the interface's
        for index in range(start, len(values)):
            if self.values and sum(map(len, self.values)) + len(values[index]) > 1000:
                return index
            self.values.append(values[index])
        return len(values)

    async def send(self, partition: int) -> int | None:
        self.kafka.batches.append(self.values)
        await self.kafka.answering.wait()
        await until(lambda: partition not in self.kafka.leaderless)
        if self.kafka.refusal is not None:
            raise self.kafka.refusal
        offset = len(self.kafka.log[partition])
        self.kafka.log[partition].extend(self.values)
        return offset


@asynccontextmanager
async def publisher_on(kafka: ScriptedKafka, policy: PublisherPolicy = POLICY) -> AsyncIterator[GroupPublisher]:
    publisher = GroupPublisher(kafka.connect, policy, kafka)
    try:
        yield publisher
    finally:
        kafka.answering.set()
        kafka.reachable.set()
        await publisher.close(1.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.001)


async def refusal_of(publisher: GroupPublisher, *values: bytes) -> PublishUnavailableError:
    with pytest.raises(PublishUnavailableError) as refusal:
        await publisher.publish(values or (b"v",), [])
    return refusal.value
