"""A topic in memory, with the readers that the live tail opens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from query_api.kafka_consumer import KafkaUnavailableError, OffsetsGoneError
from query_api.tail.losses import Bounds
from query_api.tail.topic_reader import Fetched
from query_api.tail.vector import Vector
from tests.fakes.kafka_records import FakeRecord, record

MOST_A_FETCH = 100


class MemoryTopic:
    """Partitions as lists of records. `trouble` is raised by whoever asks; `frozen` gives nothing."""

    def __init__(self, partitions: int = 1) -> None:
        self.logs: dict[int, list[FakeRecord]] = {number: [] for number in range(partitions)}
        self.firsts = dict.fromkeys(range(partitions), 0)
        self.ends = dict.fromkeys(range(partitions), 0)
        self.trouble: str | None = None
        self.frozen = False
        self.open_readers = 0
        self.opened = 0
        self._changed = asyncio.Event()

    def open_reader(self) -> MemoryTopicReader:
        """A connection."""
        return MemoryTopicReader(self)

    def append(self, partition: int = 0, **fields: object) -> int:
        """One event; its offset."""
        return self.append_record(partition, record(self.ends[partition], **fields))  # type: ignore[arg-type]

    def append_value(self, partition: int, value: bytes | None) -> int:
        """A record that may be no event; its offset."""
        return self.append_record(partition, FakeRecord(self.ends[partition], value))

    def append_record(self, partition: int, made: FakeRecord) -> int:
        """One record at the end; its offset."""
        self.logs[partition].append(made)
        self.ends[partition] = made.offset + 1
        self.changed()
        return made.offset

    def append_marker(self, partition: int = 0) -> None:
        """An offset without a record, as a transaction leaves it."""
        self.ends[partition] += 1
        self.changed()

    def forget_before(self, partition: int, first: int) -> None:
        """Retention."""
        self.firsts[partition] = first
        self.logs[partition] = [made for made in self.logs[partition] if made.offset >= first]

    def make_anew(self) -> None:
        """The topic was removed and made again."""
        for number in self.logs:
            self.logs[number], self.firsts[number], self.ends[number] = [], 0, 0
        self.changed()

    def grow(self) -> None:
        """One more partition."""
        number = len(self.logs)
        self.logs[number], self.firsts[number], self.ends[number] = [], 0, 0
        self.changed()

    def changed(self) -> None:
        """Wakes readers."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, wait_s: float) -> None:
        """Until something changed, or so long."""
        try:
            await asyncio.wait_for(self._changed.wait(), wait_s)
        except TimeoutError:
            return

    # KafkaView
    def trouble_with_kafka(self) -> str | None:
        """What a monitor would know."""
        return "Kafka is silent" if self.frozen else self.trouble

    def end_offsets(self) -> Mapping[int, int]:
        """Where partitions end."""
        return self.ends


class MemoryTopicReader:
    """One connection to it."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic
        self._positions: dict[int, int] = {}
        self._is_open = False

    async def bounds(self) -> Bounds:
        """First offset and end of each partition."""
        self._check()
        if not self._is_open:
            self._is_open = True
            self._topic.open_readers += 1
            self._topic.opened += 1
        return {number: (self._topic.firsts[number], self._topic.ends[number]) for number in self._topic.logs}

    def start(self, positions: Vector) -> None:
        """Reads from there on."""
        self._positions = dict(positions)

    async def fetch(self, wait_s: float) -> Sequence[Fetched]:
        """What has come."""
        self._check()
        if not (found := self._found()):
            await self._topic.wait(wait_s)
            self._check()
            found = self._found()
        await asyncio.sleep(0)
        return found

    def _found(self) -> list[Fetched]:
        if self._topic.frozen:
            return []
        found = []
        for number, position in self._positions.items():
            first, end = self._topic.firsts[number], self._topic.ends[number]
            if not first <= position <= end:
                raise OffsetsGoneError(f"{number}/{position}")
            records = [made for made in self._topic.logs[number] if made.offset >= position][:MOST_A_FETCH]
            following = records[-1].offset + 1 if len(records) == MOST_A_FETCH else end
            if following != position:
                found.append(Fetched(number, records, following))
                self._positions[number] = following
        return found

    def has_grown(self) -> bool:
        """Whether there are partitions that are not read."""
        return len(self._positions) < len(self._topic.logs)

    async def close(self) -> None:
        """Ends it."""
        if self._is_open:
            self._is_open = False
            self._topic.open_readers -= 1

    def _check(self) -> None:
        if self._topic.trouble is not None:
            raise KafkaUnavailableError(self._topic.trouble)
