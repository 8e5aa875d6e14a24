"""A record becomes a row with the right bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import id_of_position, unix_us
from stream_app.fence import Span
from stream_app.prepare import (
    LOG_COLUMNS,
    Cell,
    cells_of,
    prepare,
)
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC, FakeRecord, record
from tests.unit.stream_app.prepared_rows import VERSION_4, VERSION_7, Decoded, decoded, prepared, row_of, us


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


NOON_HOUR = NOON_MS // 3_600_000


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        pytest.param({"id": None}, set(), id="our own id"),
        pytest.param({"id": str(VERSION_7)}, set(), id="a version-7 id alone, which is the event's time"),
        pytest.param({"id": str(VERSION_7), "timestamp": "2026-11-24T10:00:00Z"}, {NOON_HOUR}, id="another time"),
        pytest.param({"id": str(VERSION_4), "timestamp": "2026-11-24T10:00:00Z"}, {NOON_HOUR}, id="a random id"),
        pytest.param({"id": None, "timestamp": "1969-12-31T23:30:00Z"}, {-1}, id="before what an id can hold"),
    ],
)
def test_hours_are_named_in_which_an_id_does_not_lead_to_its_event(fields: dict[str, Any], hours: set[int]) -> None:
    assert prepared(record(0, **fields)).foreign_id_hours == hours
