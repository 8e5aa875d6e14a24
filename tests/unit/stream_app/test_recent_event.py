"""The member of one event is the same bytes whenever and by whomever it is made."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import orjson

from ingest_gateway.contract import moment_of
from stream_app.contract import MAX_RECENT_MEMBER_BYTES
from stream_app.fence import Span
from stream_app.prepare import Row, prepare
from stream_app.recent_event import RecentEvent, member, member_of_row
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC, FakeRecord, record


def row(item: FakeRecord) -> Row:
    return prepare(TOPIC, [Span(0, [item])], LIMITS).rows[0]


def test_a_member_is_the_json_of_an_answer() -> None:
    made = member_of_row(
        row(
            record(
                0, id="019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50", timestamp="2026-11-24T11:00:00.5+01:00", severity="err"
            )
        )
    )

    assert list(orjson.loads(made).items()) == [
        ("id", "019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50"),
        ("timestamp", "2026-11-24T10:00:00.500000Z"),
        ("severity", "HIGH"),
        ("source", "web-01"),
        ("message", "Failed password"),
        ("ingested_at", "2026-11-24T10:00:00Z"),
    ]


def test_attributes_keep_their_bytes() -> None:
    value = b'{"severity":"LOW","source":"s","message":"m","attributes":{ "b":1.50,"a" : 2}}'

    assert b'"attributes":{ "b":1.50,"a" : 2}' in member_of_row(row(FakeRecord(0, value)))


def test_the_same_event_read_from_the_table_is_the_same_bytes() -> None:
    made = row(record(3, timestamp="2026-11-24T05:00:00.000001-05:00", attributes={"a": [1, "ü"]}))
    again = RecentEvent(
        str(UUID(bytes=made.id)),
        moment_of(made.ts_us),
        "HIGH",
        "web-01",
        "Failed password",
        datetime.fromtimestamp(NOON_MS / 1000, UTC),
        msgspec.Raw(b'{"a": [1, "\\u00fc"]}'),
    )

    assert member(again) == member_of_row(made)


def test_a_large_event_is_a_stub_that_names_its_row() -> None:
    made = member_of_row(row(record(0, message="x" * MAX_RECENT_MEMBER_BYTES)))

    assert len(made) < 200
    stub = orjson.loads(made)
    assert (stub["large"], stub["timestamp"]) == (True, "2026-11-24T10:00:00Z")
    UUID(stub["id"])


def test_the_largest_event_that_is_kept_whole_is_no_stub() -> None:
    empty = len(member_of_row(row(record(0, message=""))))
    whole = member_of_row(row(record(0, message="x" * (MAX_RECENT_MEMBER_BYTES - empty))))

    assert len(whole) == MAX_RECENT_MEMBER_BYTES
    assert b'"large"' not in whole
