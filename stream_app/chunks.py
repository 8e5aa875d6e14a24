"""A chunk: all records that one fetch returned for one partition, in offset order; and what takes chunks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol


class Record(Protocol):
    """One Kafka record as the consumer hands it over."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Broker's append time, milliseconds since 1970."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class BufferedEvents:
    """How many fetched events are alive in memory, for the cap `ingestion.buffer_size`."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Chunk:
    """Records of one partition, non-empty, offsets ascending.

    `position` is where the consumer stood before the fetch: every offset from `position` to `records[0].offset` is
    absent from the log (compacted, a transaction's marker, or gone by retention). `offset` and `timestamp` are the
    last record's.
    """

    __slots__ = ("_buffered", "offset", "partition", "position", "records", "timestamp", "topic")

    def __init__(
        self, topic: str, partition: int, position: int, records: Sequence[Record], buffered: BufferedEvents
    ) -> None:
        last = records[-1]
        self.topic, self.partition, self.position, self.records = topic, partition, position, records
        self.offset, self.timestamp = last.offset, last.timestamp
        self._buffered = buffered
        buffered.count += len(records)

    def release(self) -> None:
        """Its records are stored: they no longer count, and are not kept while the acknowledgement waits for Redis."""
        self._buffered.count -= len(self.records)
        self.records = ()

    def __del__(self) -> None:
        # Others leave by a rebalance or by a seek; counting where they die misses none of the ways.
        self.release()

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return self.offset + 1


class NothingRead(dict[Any, int | None]):
    """Faust's record of offsets read, by which it drops lower ones; the fence does that, by what is stored.

    Faust notes an offset after it has waited for the stream. With a seek back in between it would then drop, for ever,
    all that was to be read again.
    """

    def __getitem__(self, tp: Any) -> None:
        return None


class Deliveries(Protocol):
    """What takes the chunks: all that the Faust side needs of ours."""

    async def start_positions(
        self, beginnings: Mapping[int, int], ends: Callable[[], Awaitable[Mapping[int, int]]]
    ) -> Mapping[int, int]:
        """Where each assigned partition starts, by the store. `ends` asks Kafka where they end now."""
        ...

    async def deliver(self, chunk: Chunk, acknowledge: Callable[[], object]) -> None:
        """Takes one chunk; `acknowledge` is called once it is stored."""
        ...

    def log_went_back(self, partition: int, position: int, offset: int) -> None:
        """Read up to `position`, a partition goes on at the lower `offset`, without a seek of ours."""
        ...

    async def drain(self) -> None:
        """Lets the window under way end, within seconds, and takes no more."""
        ...
