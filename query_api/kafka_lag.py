"""Kafka for the query API: where partitions end, and when a record was appended.

One consumer holds every partition paused and lets one go for the single record that is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from ingest_gateway.contract import EPOCH
from query_api.completeness import PartitionEnds
from query_api.kafka_consumer import (
    TIMEOUT_S,
    KafkaUnavailableError,
    TopicPartition,
    connected,
    of_kafka,
    partitions_of,
    stop,
)
from threatlog.process.server_settings import Kafka

_FETCH_WAIT_S: Final = 1.0
# Kafka gives at least one whole batch, whatever its size; more is not looked at.
_MAX_FETCH_BYTES: Final = 1024


class KafkaLog:
    """Looks at a topic without being part of any group. Connects when first asked, and anew after any trouble."""

    def __init__(self, kafka: Kafka, now: Callable[[], datetime]) -> None:
        self._kafka = kafka
        self._topic = kafka.topic
        self._now = now
        self._consumer: Any = None
        self._ending: asyncio.Task[None] | None = None

    async def ends(self) -> PartitionEnds:
        """First and end offset of every partition. Raises KafkaUnavailableError within `TIMEOUT_S`."""
        with self._translating():
            async with asyncio.timeout(TIMEOUT_S):
                consumer = await self._connected()
                partitions = await self._assign_all(consumer)
                as_of = self._now()
                firsts, ends = await asyncio.gather(
                    consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
                )
        return PartitionEnds(as_of, {tp.partition: (firsts[tp], ends[tp]) for tp in partitions})

    async def appended_at(self, offsets: Mapping[int, int]) -> dict[int, tuple[int, datetime]]:
        """Partition -> (offset, append time) of the first record at or after each offset; those that came in time.

        Raises KafkaUnavailableError.
        """
        found: dict[int, tuple[int, datetime]] = {}
        with self._translating():
            consumer = await self._connected()
            wanted = [TopicPartition(self._topic, partition) for partition in offsets]
            for tp in wanted:
                consumer.seek(tp, offsets[tp.partition])
            consumer.resume(*wanted)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FETCH_WAIT_S):
                        while len(found) < len(wanted):
                            open_ones = [tp for tp in wanted if tp.partition not in found]
                            for tp, records in (
                                await consumer.getmany(*open_ones, timeout_ms=200, max_records=1)
                            ).items():
                                moment = EPOCH + timedelta(milliseconds=records[0].timestamp)
                                found[tp.partition] = records[0].offset, moment
                                consumer.pause(tp)
            finally:
                consumer.pause(*wanted)
        return found

    async def _connected(self) -> Any:
        if self._consumer is None:
            # Retention may have passed the stored offset: then the first record that is left is the oldest.
            self._consumer = await connected(self._kafka, reset="earliest", max_fetch_bytes=_MAX_FETCH_BYTES)
        return self._consumer

    async def _assign_all(self, consumer: Any) -> list[TopicPartition]:
        """Every partition of the topic, paused; a topic that grew is noticed when the client refreshes its metadata."""
        assigned: set[TopicPartition] = consumer.assignment()
        known = await partitions_of(consumer, self._topic)
        if known and known != assigned:
            self._hold(consumer, known)
        return sorted(known or assigned)

    @staticmethod
    def _hold(consumer: Any, partitions: set[TopicPartition]) -> None:
        consumer.assign(sorted(partitions))
        consumer.pause(*partitions)

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            with of_kafka(self._kafka):
                yield
        except KafkaUnavailableError:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                self._ending = asyncio.get_running_loop().create_task(stop(consumer))
            raise

    async def close(self) -> None:
        """Ends the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)
