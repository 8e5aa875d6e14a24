"""A record that cannot be stored as an event."""

from __future__ import annotations

from dataclasses import dataclass

from ingest_gateway.contract import RejectedEventError
from stream_app.chunks import Record
from stream_app.record_headers import headers_json


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """It is kept whole."""

    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    payload: bytes | None
    appended_ms: int
    headers: str | None


def dead_letter_of(partition: int, record: Record, error: RejectedEventError) -> DeadLetter:
    """The record with what is wrong with it."""
    kept = (record.key, record.value, max(record.timestamp, 0), headers_json(record))
    return DeadLetter(partition, record.offset, error.code, error.detail, *kept)
