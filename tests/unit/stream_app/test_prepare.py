"""A record becomes a row with the right bytes, or a dead letter with its own."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import REJECTION_CODES, EventLimits, id_of_position, unix_us
from stream_app.fence import Span
from stream_app.prepare import (
    LOG_COLUMNS,
    MAX_DETAIL_CHARS,
    PG_EPOCH_US,
    Cell,
    Prepared,
    cells_of,
    copy_payload,
    prepare,
)
from tests.fakes.copy_format import decode_copy
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC, FakeRecord, event_json, record

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
        identifier, ts, severity, source, message, attributes, received = fields
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


def test_every_column_is_encoded_as_postgresql_reads_it() -> None:
    row = row_of(
        record(
            0,
            id=str(VERSION_7),
            timestamp="2026-11-24T09:59:58.123456Z",
            severity="CRITICAL",
            source="füw-1",
            message="Łogin\n",
            attributes={"n": 1},
            received_at="2026-11-24T09:59:59.5Z",
        )
    )

    assert row == Decoded(
        VERSION_7,
        us("2026-11-24T09:59:58.123456+00:00"),
        4,
        "füw-1",
        "Łogin\n",
        b'{"n": 1}',
        us("2026-11-24T09:59:59.500000+00:00"),
    )
    assert len(LOG_COLUMNS) == 7


@given(
    moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 29), timezones=st.just(UTC)),  # noqa: DTZ001
    message=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    source=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=256),
)
def test_any_text_and_any_time_come_back_from_the_copy_bytes(moment: datetime, message: str, source: str) -> None:
    row = row_of(record(0, timestamp=moment.isoformat(), message=message, source=source))

    assert (row.ts_us, row.message, row.source) == (unix_us(moment), message, source)


def test_an_absent_timestamp_is_the_append_time_of_a_direct_record() -> None:
    row = row_of(record(0, NOON_MS + 7))

    assert (row.ts_us, row.received_us) == ((NOON_MS + 7) * 1000, (NOON_MS + 7) * 1000)


def test_an_absent_timestamp_is_the_gateways_receipt_where_it_wrote_one() -> None:
    row = row_of(record(0, received_at="2026-11-24T09:00:00.25Z"))

    assert row.ts_us == row.received_us == us("2026-11-24T09:00:00.250000+00:00")


def test_a_timestamp_with_an_offset_is_the_same_moment_in_utc() -> None:
    assert row_of(record(0, timestamp="2026-11-24T05:30:00-04:30")).ts_us == us("2026-11-24T10:00:00+00:00")


@pytest.mark.parametrize("moment", ["0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z", "9999-12-30T14:00:00+14:00"])
def test_the_earliest_and_the_latest_moment_are_stored(moment: str) -> None:
    assert row_of(record(0, timestamp=moment)).ts_us == us(moment)


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T23:59:59Z", "9999-12-30T00:00:00.000001Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"],
)
def test_moments_beyond_them_are_refused(moment: str) -> None:
    assert [letter.reason for letter in prepared(record(0, timestamp=moment)).dead_letters] == ["bad_timestamp"]


def test_a_receipt_later_than_the_append_time_is_not_believed() -> None:
    later = datetime.fromtimestamp(NOON_MS / 1000 + 5, UTC).isoformat()

    assert row_of(record(0, received_at=later, attributes={"a": 1})).received_us == NOON_MS * 1000
    assert row_of(record(0, received_at="9999-12-31T23:59:59-23:59")).received_us == NOON_MS * 1000


def test_a_receipt_within_the_millisecond_of_the_append_time_is_kept() -> None:
    within = (datetime.fromtimestamp(NOON_MS / 1000, UTC) + timedelta(microseconds=999)).isoformat()

    assert row_of(record(0, received_at=within)).received_us == NOON_MS * 1000 + 999


@pytest.mark.parametrize("timestamp", [None, "2026-11-24T10:00:00Z"])
def test_a_receipt_that_no_answer_could_hold_is_a_dead_letter_and_stops_nothing(timestamp: str | None) -> None:
    impossible = record(0, timestamp=timestamp, received_at="0001-01-01T00:00:00+23:59")

    result = prepared(impossible, record(1), FakeRecord(2, impossible.value))

    assert [(letter.offset, letter.reason) for letter in result.dead_letters] == [
        (0, "bad_timestamp"),
        (2, "bad_timestamp"),
    ]
    assert len(result.rows) == 1


def test_a_dense_run_of_receipts_keeps_each_its_own() -> None:
    moments = ["2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z", None, "2026-11-24T09:00:01Z", None]
    rows = decoded(prepared(*(record(n, received_at=moment) for n, moment in enumerate(moments))))

    assert sorted(row.received_us for row in rows) == sorted(
        us(moment) if moment else NOON_MS * 1000 for moment in moments
    )


def test_a_version_7_id_without_a_timestamp_gives_its_own_time() -> None:
    assert row_of(record(0, id=str(VERSION_7))).ts_us // 1000 == VERSION_7.int >> 80


def test_another_id_without_a_timestamp_is_refused() -> None:
    result = prepared(record(0, id=str(VERSION_4)))

    assert [letter.reason for letter in result.dead_letters] == ["id_without_timestamp"]


def test_an_absent_id_comes_from_topic_partition_and_offset() -> None:
    row = row_of(record(41), partition=5)

    assert row.id.bytes == id_of_position(NOON_MS * 1000, 5, 41, crc32(TOPIC.encode()))
    assert row_of(record(41), partition=5).id == row.id
    assert len({row.id, row_of(record(42), partition=5).id, row_of(record(41), partition=6).id}) == 3


@pytest.mark.parametrize(
    "text", ['{ "b" :1,"a":[1.50, 1e3] }', "{}", '{"a":"\\u00fc","a":2}', '{"n":123456789012345678901234567890.000}']
)
def test_the_bytes_of_attributes_are_kept(text: str) -> None:
    value = b'{"severity":"LOW","source":"s","message":"m","attributes":' + text.encode() + b"}"

    assert row_of(FakeRecord(0, value)).attributes == text.encode()


@pytest.mark.parametrize("attributes", [b"", b',"attributes":null'])
def test_absent_attributes_are_null(attributes: bytes) -> None:
    assert row_of(FakeRecord(0, b'{"severity":"LOW","source":"s","message":"m"' + attributes + b"}")).attributes is None


SMALL = EventLimits(max_event_bytes=400, max_message_bytes=100, max_attributes_bytes=50, max_attributes_depth=3)
REFUSED: dict[str, bytes | None] = {
    "null_value": None,
    "not_json": b"<xml/>",
    "not_an_object": b"[1]",
    "missing_field": b'{"severity":"LOW","source":"s"}',
    "unknown_field": event_json(host="h"),
    "wrong_type": event_json(message=5),
    "bad_severity": event_json(severity="URGENT"),
    "bad_source": event_json(source="x" * 257),
    "bad_timestamp": event_json(timestamp="yesterday"),
    "bad_id": event_json(id="17"),
    "bad_attributes": event_json(attributes=[1]),
    "nul_character": event_json(message="a\0b"),
    "message_too_large": event_json(message="x" * 101),
    "attributes_too_large": event_json(attributes={"a": "x" * 50}),
    "attributes_too_deep": event_json(attributes={"a": {"b": {"c": {}}}}),
    "event_too_large": event_json() + b" " * 400,
    "id_without_timestamp": event_json(id=str(VERSION_4)),
}


def test_there_is_a_record_for_each_reason_of_the_contract() -> None:
    assert set(REFUSED) == set(REJECTION_CODES)


@pytest.mark.parametrize("code", REJECTION_CODES)
def test_what_cannot_be_stored_is_a_dead_letter_with_its_raw_bytes(code: str) -> None:
    bad = FakeRecord(7, REFUSED[code], b"key", NOON_MS)

    result = prepared(record(6), bad, record(8), partition=2, limits=SMALL)

    assert len(result.rows) == 2
    (letter,) = result.dead_letters
    assert (letter.partition, letter.offset, letter.reason) == (2, 7, code)
    assert (letter.key, letter.payload, letter.appended_ms) == (b"key", REFUSED[code], NOON_MS)
    assert letter.detail


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"severity":"LOW","source":"s","message":"m"}',
        b'{"severity":"LOW","source":"s","message":"\\ud800"}',
        b'{"severity":"LOW","source":"s","message":"m","attributes":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        b"[" * 100_000,
        b'{"severity":"LOW","source":"s","message":"m","attributes":{"a":1e999}}',
        b'{"severity":"LOW","source":"s","message":"m","attributes":{"a":"\\u0000"}}',
    ],
)
def test_hostile_bytes_are_dead_letters(value: bytes) -> None:
    assert len(prepared(FakeRecord(0, value), record(1)).dead_letters) == 1


@given(value=st.binary(max_size=300))
def test_no_bytes_at_all_stop_a_window(value: bytes) -> None:
    result = prepared(FakeRecord(0, value))

    assert len(result.rows) + len(result.dead_letters) == 1


def test_words_that_quote_the_sender_hold_nothing_that_postgresql_refuses() -> None:
    value = b'{"severity":"LOW","source":"s","message":"m","a\\u0000' + b"x" * 5000 + b'":1}'

    (letter,) = prepared(FakeRecord(0, value)).dead_letters

    assert letter.reason == "unknown_field"
    assert "\0" not in letter.detail
    assert len(letter.detail) <= MAX_DETAIL_CHARS + 1


def test_a_record_without_an_append_time_still_has_one_that_postgresql_takes() -> None:
    assert prepared(FakeRecord(0, None, None, -1)).dead_letters[0].appended_ms == 0


def test_most_of_a_window_may_be_bad_and_is_kept_whole() -> None:
    result = prepared(*(FakeRecord(n, b"no") if n % 10 else record(n) for n in range(100)))

    assert (len(result.rows), len(result.dead_letters)) == (10, 90)
    assert result.first_reason().startswith("not_json: ")


def test_rows_are_sorted_by_time_and_id() -> None:
    stamps = ["2026-11-24T10:00:02Z", "2026-11-24T10:00:00Z", "2026-11-24T10:00:01Z"]
    result = prepared(*(record(n, timestamp=stamp) for n, stamp in enumerate(stamps)), record(9, timestamp=stamps[1]))

    keys = [(row.ts_us, row.id) for row in result.rows]
    assert keys == sorted(keys)
    assert len(keys) == 4


def test_of_two_equal_keys_the_first_to_arrive_stays_first() -> None:
    def same(offset: int, message: str) -> FakeRecord:
        return record(offset, id=str(VERSION_7), timestamp="2026-11-24T10:00:00Z", message=message)

    result = prepared(same(0, "first"), same(1, "second"))

    assert [row.event.message for row in result.rows] == ["first", "second"]


def test_a_row_that_postgresql_refused_becomes_a_dead_letter_with_its_bytes() -> None:
    item = record(3)
    letter = prepared(item, partition=1).rows[0].as_dead_letter()

    assert (letter.partition, letter.offset, letter.reason, letter.payload) == (1, 3, "refused_by_store", item.value)


def test_days_are_those_the_rows_fall_on() -> None:
    stamps = ["2026-11-23T23:59:59.999999Z", "2026-11-24T00:00:00Z", "2026-11-24T12:00:00Z", "1969-12-31T23:00:00Z"]
    result = prepared(*(record(n, timestamp=stamp) for n, stamp in enumerate(stamps)))

    today = NOON_MS // 86_400_000
    assert result.days() == {-1, today - 1, today}


def test_cells_count_each_minute_severity_and_source() -> None:
    items = [
        record(0, timestamp="2026-11-24T10:00:59.999999Z"),
        record(1, timestamp="2026-11-24T10:00:00Z"),
        record(2, timestamp="2026-11-24T10:01:00Z"),
        record(3, timestamp="2026-11-24T10:01:30Z", severity="warning"),
        record(4, timestamp="2026-11-24T10:01:30Z", source="web-02"),
    ]
    minute = NOON_MS // 60_000

    assert cells_of(prepared(*items).rows) == {
        Cell(minute, 3, "web-01"): 2,
        Cell(minute + 1, 3, "web-01"): 1,
        Cell(minute + 1, 2, "web-01"): 1,
        Cell(minute + 1, 3, "web-02"): 1,
    }


def test_spellings_of_one_severity_count_together() -> None:
    rows = prepared(record(0, severity="ERROR"), record(1, severity="err"), record(2, severity="HIGH")).rows

    assert list(cells_of(rows).values()) == [3]


def test_cells_of_two_spans_of_one_window_count_together() -> None:
    result = prepare(TOPIC, [Span(0, [record(0)]), Span(1, [record(0)])], LIMITS)

    assert list(cells_of(result.rows).values()) == [2]
    assert len({row.id for row in result.rows}) == 2
