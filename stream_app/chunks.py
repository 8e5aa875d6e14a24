"""A chunk: all records that one fetch returned for one partition, in offset order; and what takes chunks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol

# Values of events may be 200 KiB each, so events are not the only measure. One COPY of this much ends well within its
# time-out; each value is held up to four times on its way (record, event, row, COPY).
MAX_WINDOW_BYTES: Final = 64 << 20
# Fetching pauses above, as it does above `ingestion.buffer_size` events.
MAX_BUFFERED_BYTES: Final = 256 << 20
# Of both, after that many workers that died early: usual windows have less than the second, the third is a large event.
_SHARES: Final = (1, 8, 64)
# What Kafka's consumer says of a record whose time is the broker's.
LOG_APPEND_TIME: Final = 1
_value_of: Final = attrgetter("value")


class Record(Protocol):
    """One Kafka record as the consumer hands it over."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Broker's append time, milliseconds since 1970."""
        ...

    @property
    def timestamp_type(self) -> int | None:
        """LOG_APPEND_TIME, or another number for a producer's own time."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class BufferedEvents:
    """How many fetched events are alive in memory, and the bytes of their values: both are capped.

    `max_bytes` is the cap on those bytes, `max_window_bytes` that on a window's, and on what is read at once.
    """

    __slots__ = ("bytes", "count", "max_bytes", "max_window_bytes")

    def __init__(self) -> None:
        self.count = self.bytes = 0
        self.max_bytes, self.max_window_bytes = MAX_BUFFERED_BYTES, MAX_WINDOW_BYTES

    def narrow(self, deaths: int) -> None:
        """Sets the caps for after so many early deaths; none: the usual ones."""
        share = _SHARES[min(deaths, len(_SHARES) - 1)]
        self.max_bytes, self.max_window_bytes = MAX_BUFFERED_BYTES // share, MAX_WINDOW_BYTES // share


class Chunk:
    """Records of one partition, non-empty, offsets ascending.

    `position` is where the consumer stood before the fetch: every offset from `position` to `records[0].offset` is
    absent from the log (compacted, a transaction's marker, or gone by retention). `offset` and `timestamp` are the
    last record's; `bytes` are those of the values.
    """

    __slots__ = ("_buffered", "bytes", "offset", "partition", "position", "records", "timestamp", "topic")

    def __init__(
        self, topic: str, partition: int, position: int, records: Sequence[Record], buffered: BufferedEvents
    ) -> None:
        last = records[-1]
        self.topic, self.partition, self.position, self.records = topic, partition, position, records
        self.offset, self.timestamp = last.offset, last.timestamp
        self._buffered = buffered
        self.bytes = sum(map(len, filter(None, map(_value_of, records))))
        buffered.count += len(records)
        buffered.bytes += self.bytes

    def split(self, max_bytes: int) -> list[Chunk]:
        """The same records in chunks of at most `max_bytes`, or of one record; each begins where the last one ended."""
        if self.bytes <= max_bytes or len(self.records) == 1:
            return [self]
        middle = len(self.records) // 2
        first = Chunk(self.topic, self.partition, self.position, self.records[:middle], self._buffered)
        second = Chunk(self.topic, self.partition, first.next_offset, self.records[middle:], self._buffered)
        return [*first.split(max_bytes), *second.split(max_bytes)]

    def release(self) -> None:
        """Its records are stored: they no longer count, and are not kept while the acknowledgement waits for Redis."""
        self._buffered.count -= len(self.records)
        self._buffered.bytes -= self.bytes
        self.records, self.bytes = (), 0

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
