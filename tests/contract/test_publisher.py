"""What every publisher promises, held on the one in memory and on the one to a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest_gateway.group_publisher import GroupPublisher, PublisherPolicy
from ingest_gateway.kafka_publisher import KafkaConnection
from ingest_gateway.publishing import EventPublisher, PublishUnavailableError, Receipt
from tests.conftest import MakeStack
from tests.fakes.memory_publisher import MemoryPublisher
from threatlog.process.server_settings import Kafka

Record = tuple[bytes | None, list[tuple[str, bytes]]]
pytestmark = pytest.mark.no_database
HEADERS = (("content-type", b"application/json"), ("threatlog-version", b"1"))


@dataclass(frozen=True, slots=True)
class Subject:
    """A publisher, a way to read what it stored, and its end."""

    publisher: EventPublisher
    read: Callable[[Receipt], Awaitable[list[Record]]]
    close: Callable[[], Awaitable[None]]


def memory_subject() -> Subject:
    publisher = MemoryPublisher()

    async def read(receipt: Receipt) -> list[Record]:
        assert receipt.offset is not None
        return [*publisher.log[receipt.partition][receipt.offset : receipt.offset + receipt.count]]

    return Subject(publisher, read, lambda: publisher.close(1.0))


class NoMeters:
    """Counts nothing."""

    def batch_acknowledged(self, duration_s: float) -> None:
        """Nothing."""


def kafka_subject(servers: str, topic: str) -> Subject:
    publisher = GroupPublisher(
        lambda: KafkaConnection.open(Kafka(bootstrap_servers=servers, topic=topic)),
        PublisherPolicy(deadline_s=20.0, max_unacknowledged_bytes=64 << 20),
        NoMeters(),
    )

    async def read(receipt: Receipt) -> list[Record]:
        assert receipt.offset is not None
        place = TopicPartition(topic, receipt.partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, max_partition_fetch_bytes=8 << 20)
        await consumer.start()
        try:
            consumer.assign([place])
            consumer.seek(place, receipt.offset)
            records = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(receipt.count)]
        finally:
            await consumer.stop()
        assert [record.offset for record in records] == [receipt.offset + n for n in range(receipt.count)]
        return [(record.value, list(record.headers)) for record in records]

    return Subject(publisher, read, lambda: publisher.close(5.0))


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """The publisher under test."""
    if request.param == "memory":
        made = memory_subject()
    else:
        make_stack: MakeStack = request.getfixturevalue("make_stack")
        kafka = make_stack(partitions=3).settings.kafka
        made = kafka_subject(kafka.bootstrap_servers, kafka.topic)
    yield made
    await made.close()


async def read_all(subject: Subject, receipts: Sequence[Receipt]) -> list[bytes | None]:
    return [value for receipt in receipts for value, _headers in await subject.read(receipt)]


async def test_receipts_say_where_each_record_lies_in_order(subject: Subject) -> None:
    values = [b"%d" % number for number in range(10)]

    assert await read_all(subject, await subject.publisher.publish(values, HEADERS)) == values


async def test_records_carry_their_headers(subject: Subject) -> None:
    (receipt,) = await subject.publisher.publish([b"v"], [*HEADERS, ("traceparent", b"00-1")])

    assert [headers for _value, headers in await subject.read(receipt)] == [[*HEADERS, ("traceparent", b"00-1")]]


async def test_requests_at_the_same_time_keep_their_own_records(subject: Subject) -> None:
    requests = [[b"%d-%d" % (request, number) for number in range(5)] for request in range(20)]
    receipts = await asyncio.gather(*(subject.publisher.publish(values, HEADERS) for values in requests))

    assert [await read_all(subject, filed) for filed in receipts[::6]] == requests[::6]
    places = [(r.partition, (r.offset or 0) + n) for filed in receipts for r in filed for n in range(r.count)]
    assert len(set(places)) == 100


async def test_a_request_of_many_megabytes_is_covered_whole(subject: Subject) -> None:
    values = [bytes([number]) * 100_000 for number in range(30)]
    receipts = await subject.publisher.publish(values, HEADERS)

    assert sum(receipt.count for receipt in receipts) == 30
    assert await read_all(subject, receipts) == values


async def test_a_record_of_the_largest_size_the_settings_allow_is_taken(subject: Subject) -> None:
    largest = bytes(range(256)) * (900 * 4)

    assert await read_all(subject, await subject.publisher.publish([b"small", largest, b"small"], HEADERS)) == [
        b"small",
        largest,
        b"small",
    ]


async def test_no_records_need_no_receipt(subject: Subject) -> None:
    assert await subject.publisher.publish([], HEADERS) == []


async def test_it_is_connected_after_a_success(subject: Subject) -> None:
    await subject.publisher.publish([b"v"], HEADERS)

    assert subject.publisher.state().connected


async def test_after_its_end_it_refuses(subject: Subject) -> None:
    await subject.publisher.publish([b"v"], HEADERS)
    await subject.close()

    with pytest.raises(PublishUnavailableError) as refusal:
        await subject.publisher.publish([b"v"], HEADERS)
    assert refusal.value.code == "stopping"
