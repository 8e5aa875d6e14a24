"""Records, chunks and windows as the tests of the stream application make them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ingest_gateway.contract import EventLimits
from stream_app.chunks import LOG_APPEND_TIME, BufferedEvents, Chunk
from stream_app.fence import fence
from stream_app.outcomes import Loss, Window
from stream_app.prepare import prepare

TOPIC = "events"
# 2026-11-24T10:00:00Z
NOON_MS = 1_795_514_400_000
LIMITS = EventLimits()


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """One Kafka record; `timestamp` is the broker's append time in milliseconds."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = NOON_MS
    timestamp_type: int | None = LOG_APPEND_TIME


def event_json(**fields: object) -> bytes:
    """A valid event with `fields` set over it; a field of None is left out."""
    event: dict[str, object] = {"severity": "HIGH", "source": "web-01", "message": "Failed password"} | fields
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def record(offset: int, appended_ms: int = NOON_MS, **fields: object) -> FakeRecord:
    """The record of `event_json`."""
    return FakeRecord(offset, event_json(**fields), None, appended_ms)


def chunk(
    partition: int,
    records: Iterable[FakeRecord | int],
    position: int | None = None,
    buffered: BufferedEvents | None = None,
) -> Chunk:
    """A chunk of records, or of valid ones at these offsets, fetched from `position` (else the first offset) on."""
    held = [record(item) if isinstance(item, int) else item for item in records]
    start = held[0].offset if position is None else position
    return Chunk(TOPIC, partition, start, held, buffered or BufferedEvents())


def window(chunks: Sequence[Chunk], stored: Mapping[int, int], losses: tuple[Loss, ...] = ()) -> Window:
    """What the pipeline makes of chunks when `stored` are the stored offsets."""
    fenced = fence(chunks, stored)
    return Window(fenced, prepare(TOPIC, fenced.spans, LIMITS), losses)
