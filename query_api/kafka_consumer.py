"""Consumers of the topic that belong to no group, and their errors in our words. This service's only aiokafka import.

Seen with aiokafka 0.14: `assign` forgets every position; a partition that is paused is not fetched, and `seek` drops
what was fetched ahead; the position moves also where a fetch brought nothing but the marker of a transaction; a broker
that says nothing shows in no error, only in fetches that bring nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from threatlog.process.kafka_connection import connect_keywords, noting_connect_faults
from threatlog.process.server_settings import Kafka

# A broker that is away is found out about after this; nobody waits for it.
TIMEOUT_S: Final = 3.0
_METADATA_POLL_S: Final = 0.02

__all__ = ["TIMEOUT_S", "KafkaUnavailableError", "OffsetsGoneError", "TopicPartition", "connected", "known_partitions"]
__all__ += ["of_kafka", "partitions_of", "stop"]


class KafkaUnavailableError(Exception):
    """Kafka did not say. The text says what is wrong."""


class OffsetsGoneError(Exception):
    """Kafka has no such offsets: they are older than what it keeps, or the topic was made anew."""


async def connected(kafka: Kafka, *, reset: str, max_fetch_bytes: int, committed_only: bool = False) -> Any:
    """A consumer that has reached Kafka. With `committed_only` it reads no record of an aborted transaction.

    `reset` is where it goes on when its offset is gone: earliest, or none, which is OffsetsGoneError.
    """
    consumer = AIOKafkaConsumer(
        **connect_keywords(kafka),
        client_id="threatlog-query",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset=reset,
        isolation_level="read_committed" if committed_only else "read_uncommitted",
        max_partition_fetch_bytes=max_fetch_bytes,
        request_timeout_ms=int(TIMEOUT_S * 1000),
        metadata_max_age_ms=10_000,
    )
    try:
        await consumer.start()
    except BaseException:
        await stop(consumer)
        raise
    return consumer


async def partitions_of(consumer: Any, topic: str) -> set[TopicPartition]:
    """Every partition of the topic, as the client last heard; it asks again by itself."""
    if not consumer.assignment():
        # The client learns about the topics it has partitions of.
        consumer.assign([TopicPartition(topic, 0)])
        consumer.pause(TopicPartition(topic, 0))
        while not consumer.partitions_for_topic(topic):  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(_METADATA_POLL_S)
    return known_partitions(consumer, topic)


def known_partitions(consumer: Any, topic: str) -> set[TopicPartition]:
    """Those that the client knows without asking."""
    return {TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()}


@contextlib.contextmanager
def of_kafka(kafka: Kafka) -> Iterator[None]:
    """Raises KafkaUnavailableError or OffsetsGoneError for the client's own errors."""
    with noting_connect_faults(kafka) as faults:
        try:
            yield
        except OffsetOutOfRangeError as error:
            raise OffsetsGoneError(_places(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaUnavailableError(f"Kafka at {kafka.bootstrap_servers}: {faults.reason(error)}") from error


def _places(error: OffsetOutOfRangeError) -> str:
    found = error.args[0] if error.args else None
    places = found if isinstance(found, Mapping) else {}
    return ", ".join(f"{tp.partition}/{offset}" for tp, offset in places.items()) or str(error)


async def stop(consumer: Any) -> None:
    """Ends its connections, within a second."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(consumer.stop(), 1.0)
