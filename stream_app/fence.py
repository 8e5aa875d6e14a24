"""Which records of a window are not stored yet: pure arithmetic on offsets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from stream_app.chunks import Chunk, Record

_offset_of = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Span:
    """Records of one chunk that are to be stored."""

    partition: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Hole:
    """Offsets [start, end) that the log did not give: harmless unless the log really begins later than `start`."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """What is left of a window above the stored offsets.

    `starts` are the stored offsets this was cut for, `next_offsets` and `appended_ms` what they become. `behind` names
    partitions whose chunks begin above the stored offset, with the offset to seek back to; those chunks are not in
    `spans`.
    """

    spans: tuple[Span, ...]
    starts: Mapping[int, int]
    next_offsets: Mapping[int, int]
    appended_ms: Mapping[int, int]
    holes: tuple[Hole, ...]
    behind: Mapping[int, int]


def fence(chunks: Sequence[Chunk], stored: Mapping[int, int]) -> Fenced:
    """Cuts the chunks of a window at the stored offsets of their partitions; `stored` must know each of them.

    A chunk may repeat what an earlier one held (a redelivery after a rebalance); each offset is taken once.
    """
    following = {chunk.partition: stored[chunk.partition] for chunk in chunks}
    starts = dict(following)
    appended_ms: dict[int, int] = {}
    spans: list[Span] = []
    holes: list[Hole] = []
    behind: dict[int, int] = {}
    for chunk in chunks:
        partition = chunk.partition
        start = following[partition]
        if partition in behind or chunk.next_offset <= start:
            continue
        if chunk.position > start:
            behind[partition] = start
            continue
        records = chunk.records
        if records[0].offset < start:
            records = records[bisect_left(records, start, key=_offset_of) :]
        if records[0].offset > start:
            holes.append(Hole(partition, start, records[0].offset))
        spans.append(Span(partition, records))
        following[partition] = chunk.next_offset
        appended_ms[partition] = chunk.timestamp
    advanced = {partition: offset for partition, offset in following.items() if offset > starts[partition]}
    return Fenced(tuple(spans), starts, advanced, appended_ms, tuple(holes), behind)
