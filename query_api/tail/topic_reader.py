"""Reads the topic from given offsets on, without being part of any group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from query_api.kafka_consumer import (
    TIMEOUT_S,
    KafkaUnavailableError,
    OffsetsGoneError,
    TopicPartition,
    connected,
    known_partitions,
    of_kafka,
    partitions_of,
    stop,
)
from query_api.tail.live_event import KafkaRecord
from query_api.tail.losses import Bounds
from query_api.tail.vector import Vector
from threatlog.process.server_settings import Kafka

# Of one partition at once. Kafka gives at least one whole batch, whatever its size.
_MAX_FETCH_BYTES: Final = 256 * 1024
_MAX_RECORDS: Final = 2000


@dataclass(frozen=True, slots=True)
class Fetched:
    """All that a partition has from where it was read before up to `next_offset`."""

    partition: int
    records: Sequence[KafkaRecord]
    next_offset: int


class TopicReader:
    """One connection, from `bounds` to `close`. Every method raises KafkaUnavailableError.

    `fetch` raises OffsetsGoneError as well. Records of transactions are read once these are committed.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._topic = kafka.topic
        self._consumer: Any = None
        self._positions: dict[int, int] = {}

    async def bounds(self) -> Bounds:
        """First offset and end of each partition. Connects."""
        with self._translating():
            async with asyncio.timeout(TIMEOUT_S):
                if self._consumer is None:
                    self._consumer = await connected(
                        self._kafka, reset="none", max_fetch_bytes=_MAX_FETCH_BYTES, committed_only=True
                    )
                partitions = sorted(await partitions_of(self._consumer, self._topic))
                firsts, ends = await asyncio.gather(
                    self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
                )
        return {tp.partition: (firsts[tp], ends[tp]) for tp in partitions}

    def start(self, positions: Vector) -> None:
        """Reads from there on; `bounds` has been asked."""
        self._positions = dict(positions)
        self._consumer.assign([TopicPartition(self._topic, partition) for partition in positions])
        for partition, offset in positions.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    async def fetch(self, wait_s: float) -> Sequence[Fetched]:
        """What has come, after at most `wait_s`; nothing also while Kafka is silent."""
        with self._translating():
            found: Mapping[TopicPartition, Sequence[KafkaRecord]] = await self._consumer.getmany(
                timeout_ms=int(wait_s * 1000), max_records=_MAX_RECORDS
            )
            fetched = []
            for partition, before in list(self._positions.items()):
                tp = TopicPartition(self._topic, partition)
                # Also where no record came: the marker of a transaction moves it.
                offset: int = await self._consumer.position(tp)
                if offset != before:
                    self._positions[partition] = offset
                    fetched.append(Fetched(partition, found.get(tp, ()), offset))
        return fetched

    def has_grown(self) -> bool:
        """Whether the topic has partitions that are not read."""
        return bool({tp.partition for tp in known_partitions(self._consumer, self._topic)} - self._positions.keys())

    async def close(self) -> None:
        """Ends the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        with of_kafka(self._kafka):
            yield


__all__ = ["Fetched", "KafkaUnavailableError", "OffsetsGoneError", "TopicReader"]
