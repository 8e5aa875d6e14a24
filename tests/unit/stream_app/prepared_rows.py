"""Prepares records as one window and reads the rows back from the bytes of its COPY."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ingest_gateway.contract import EventLimits, unix_us
from stream_app.fence import Span
from stream_app.prepare import (
    PG_EPOCH_US,
    Prepared,
    copy_payload,
    prepare,
)
from tests.fakes.copy_format import decode_copy
from tests.fakes.kafka_records import LIMITS, TOPIC, FakeRecord

VERSION_7 = UUID("019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50")
VERSION_4 = UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")


@dataclass(frozen=True)
class Decoded:
    """One COPY tuple as values; times as microseconds since 1970."""

    id: UUID
    ts_us: int
    severity: int
    source: str
    message: str
    attributes: bytes | None
    received_us: int


def prepared(*records: FakeRecord, partition: int = 0, limits: EventLimits = LIMITS) -> Prepared:
    return prepare(TOPIC, [Span(partition, records)], limits)


def decoded(result: Prepared) -> list[Decoded]:
    rows = []
    for fields in decode_copy(copy_payload(result.rows)):
        ts, identifier, severity, source, message, attributes, received = fields
        assert identifier is not None
        assert ts is not None
        assert severity is not None
        assert source is not None
        assert message is not None
        assert received is not None
        rows.append(
            Decoded(
                UUID(bytes=identifier),
                struct.unpack(">q", ts)[0] + PG_EPOCH_US,
                struct.unpack(">h", severity)[0],
                source.decode(),
                message.decode(),
                attributes,
                struct.unpack(">q", received)[0] + PG_EPOCH_US,
            )
        )
    return rows


def row_of(item: FakeRecord, partition: int = 0) -> Decoded:
    result = prepared(item, partition=partition)
    assert not result.dead_letters, result.dead_letters
    return decoded(result)[0]


def us(text: str) -> int:
    return unix_us(datetime.fromisoformat(text))
