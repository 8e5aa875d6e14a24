"""What every reader of the topic promises the live tail, held on the one in memory and on the one over Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer

from query_api.kafka_consumer import OffsetsGoneError
from query_api.tail.live_log import Reader
from query_api.tail.topic_reader import TopicReader
from tests.conftest import MakeStack
from tests.fakes.kafka_records import event_json
from tests.fakes.memory_topic import MemoryTopic
from tests.servers import Stack

READERS = ["memory", pytest.param("kafka", marks=pytest.mark.integration)]


class Subject:
    """A topic of two partitions, and how it is read."""

    def __init__(self, stack: Stack | None) -> None:
        self._stack = stack
        self._topic = MemoryTopic(2)
        self.open_reader: Callable[[], Reader] = self._topic.open_reader
        if stack is not None:
            self.open_reader = lambda: TopicReader(stack.settings.kafka)

    async def append(self, partition: int, *messages: str) -> None:
        if self._stack is None:
            for message in messages:
                self._topic.append(partition, message=message)
            return
        producer = AIOKafkaProducer(bootstrap_servers=self._stack.settings.kafka.bootstrap_servers)
        await producer.start()
        for message in messages:
            await producer.send_and_wait(
                self._stack.settings.kafka.topic, event_json(message=message), partition=partition
            )
        await producer.stop()


@pytest.fixture(params=READERS)
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        return Subject(None)
    make_stack: MakeStack = request.getfixturevalue("make_stack")
    return Subject(make_stack(partitions=2))


async def read(reader: Reader, count: int) -> tuple[dict[int, list[int]], dict[int, int]]:
    """The offsets of `count` records by partition, and where each goes on."""
    offsets: dict[int, list[int]] = {0: [], 1: []}
    following: dict[int, int] = {}
    async with asyncio.timeout(20):
        while sum(map(len, offsets.values())) < count:
            for fetched in await reader.fetch(0.5):
                offsets[fetched.partition] += [record.offset for record in fetched.records]
                following[fetched.partition] = fetched.next_offset
    return offsets, following


async def test_it_reads_from_where_it_was_told_to_and_says_where_it_goes_on(subject: Subject) -> None:
    await subject.append(0, "a", "b", "c")
    await subject.append(1, "d")
    reader = subject.open_reader()
    assert await reader.bounds() == {0: (0, 3), 1: (0, 1)}
    reader.start({0: 1, 1: 1})
    assert await read(reader, 2) == ({0: [1, 2], 1: []}, {0: 3})
    assert await reader.fetch(0.2) == []
    await subject.append(1, "e")
    assert await read(reader, 1) == ({0: [], 1: [1]}, {1: 2})
    assert await reader.bounds() == {0: (0, 3), 1: (0, 2)}
    reader.start({0: 0, 1: 2})
    assert await read(reader, 3) == ({0: [0, 1, 2], 1: []}, {0: 3})
    assert not reader.has_grown()
    await reader.close()
    await reader.close()


async def test_an_offset_that_is_not_there_is_an_error_of_its_own(subject: Subject) -> None:
    await subject.append(0, "a")
    reader = subject.open_reader()
    await reader.bounds()
    reader.start({0: 17, 1: 0})
    with pytest.raises(OffsetsGoneError):
        await read(reader, 1)
    await reader.close()
