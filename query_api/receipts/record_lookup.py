"""One record of Kafka by its place, within a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final

from query_api.kafka_consumer import (
    TIMEOUT_S,
    KafkaUnavailableError,
    TopicPartition,
    connected,
    of_kafka,
    partitions_of,
    stop,
)
from query_api.tail.live_event import KafkaRecord
from threatlog.process.server_settings import Kafka

_FETCH_WAIT_S: Final = 1.0
# Kafka gives at least one whole batch, whatever its size; more is not looked at.
_MAX_FETCH_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What a partition holds now, and the record at the offset; None where there is none.

    `partitions` is how many the topic has; without this one the rest is 0 and None.
    """

    partitions: int
    first: int = 0
    end: int = 0
    record: KafkaRecord | None = None


class RecordLookup:
    """Asks for one record at a time, over a connection that is made when it is first needed."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._one_at_a_time = asyncio.Lock()
        self._consumer: Any = None

    async def record(self, partition: int, offset: int) -> Found:
        """The record at this place. Raises KafkaUnavailableError."""
        try:
            with of_kafka(self._kafka):
                async with asyncio.timeout(TIMEOUT_S), self._one_at_a_time:
                    return await self._found(TopicPartition(self._kafka.topic, partition), offset)
        except KafkaUnavailableError:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                await stop(consumer)
            raise

    async def _found(self, tp: TopicPartition, offset: int) -> Found:
        if self._consumer is None:
            self._consumer = await connected(
                self._kafka, reset="earliest", max_fetch_bytes=_MAX_FETCH_BYTES, committed_only=True
            )
        consumer = self._consumer
        partitions = await partitions_of(consumer, tp.topic)
        if tp not in partitions:
            return Found(len(partitions))
        if consumer.assignment() != partitions:
            consumer.assign(sorted(partitions))
            consumer.pause(*partitions)
        firsts, ends = await asyncio.gather(consumer.beginning_offsets([tp]), consumer.end_offsets([tp]))
        found = Found(len(partitions), firsts[tp], ends[tp])
        if not found.first <= offset < found.end:
            return found
        return Found(len(partitions), found.first, found.end, await self._fetched(consumer, tp, offset))

    async def _fetched(self, consumer: Any, tp: TopicPartition, offset: int) -> KafkaRecord | None:
        consumer.seek(tp, offset)
        consumer.resume(tp)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FETCH_WAIT_S):
                    while await consumer.position(tp) <= offset:
                        for records in (await consumer.getmany(tp, timeout_ms=200, max_records=1)).values():
                            record: KafkaRecord = records[0]
                            # Markers of transactions, and what an aborted one had, are passed over.
                            return record if record.offset == offset else None
                    return None
        finally:
            consumer.pause(tp)
        raise KafkaUnavailableError(f"Kafka at {self._kafka.bootstrap_servers} did not give the record in time")

    async def close(self) -> None:
        """Ends the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)
