"""The bytes of every version of the Kafka record ever written, which must stay readable for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest

from ingest_gateway.contract import EventLimits, WrittenRecord, check_event, decode_record, encode_record

VERSION_1 = (
    b'{"id":"019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50","timestamp":"2026-11-24T10:15:30.123456Z","severity":"HIGH",'
    b'"source":"web-01.example.net","message":"Failed password for \xc3\xbcser \\"root\\"\\n",'
    b'"received_at":"2026-11-24T10:15:31.5Z","attributes":{"user": "root", "n": 1.50}}'
)
VERSION_1_PLAIN = (
    b'{"id":"019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50","timestamp":"2026-11-24T12:15:30+02:00","severity":"INFO",'
    b'"source":"s","message":"","received_at":"2026-11-24T10:15:31Z"}'
)
IDENTIFIER = UUID("019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50")


def test_version_1_with_attributes_decodes_to_the_same_event() -> None:
    event = decode_record(VERSION_1)

    assert check_event(event, EventLimits()) == "HIGH"
    assert event.id == IDENTIFIER
    assert event.timestamp == datetime(2026, 11, 24, 10, 15, 30, 123456, tzinfo=UTC)
    assert event.source == "web-01.example.net"
    assert event.message == 'Failed password for üser "root"\n'
    assert event.received_at == datetime(2026, 11, 24, 10, 15, 31, 500000, tzinfo=UTC)
    assert bytes(event.attributes) == b'{"user": "root", "n": 1.50}'


def test_version_1_without_attributes_decodes_to_the_same_event() -> None:
    event = decode_record(VERSION_1_PLAIN)

    assert check_event(event, EventLimits()) == "INFO"
    assert event.timestamp == datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)
    assert bytes(event.attributes) == b""


@pytest.mark.parametrize("identifier", [IDENTIFIER, str(IDENTIFIER)], ids=["uuid", "text"])
def test_today_s_writer_still_makes_the_bytes_of_version_1(identifier: UUID | str) -> None:
    record = WrittenRecord(
        identifier,
        datetime(2026, 11, 24, 12, 15, 30, tzinfo=timezone(timedelta(hours=2))),
        "INFO",
        "s",
        "",
        datetime(2026, 11, 24, 10, 15, 31, tzinfo=UTC),
    )

    assert encode_record(record) == VERSION_1_PLAIN


def test_the_writer_puts_attributes_in_as_they_came() -> None:
    record = WrittenRecord(
        IDENTIFIER,
        datetime(2026, 11, 24, 10, 15, 30, 123456, tzinfo=UTC),
        "HIGH",
        "web-01.example.net",
        'Failed password for üser "root"\n',
        datetime(2026, 11, 24, 10, 15, 31, 500000, tzinfo=UTC),
        msgspec.Raw(b'{"user": "root", "n": 1.50}'),
    )

    assert encode_record(record) == VERSION_1.replace(b"31.5Z", b"31.500000Z")
