"""A record that cannot be stored becomes a dead letter with its own bytes, and stops nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import MAX_DETAIL_CHARS, REJECTION_CODES, EventLimits
from tests.fakes.kafka_records import NOON_MS, FakeRecord, event_json, record
from tests.unit.stream_app.prepared_rows import VERSION_4, prepared

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
    assert len(letter.detail) <= MAX_DETAIL_CHARS


def test_a_record_without_an_append_time_still_has_one_that_postgresql_takes() -> None:
    assert prepared(FakeRecord(0, None, None, -1)).dead_letters[0].appended_ms == 0


def test_most_of_a_window_may_be_bad_and_is_kept_whole() -> None:
    result = prepared(*(FakeRecord(n, b"no") if n % 10 else record(n) for n in range(100)))

    assert (len(result.rows), len(result.dead_letters)) == (10, 90)
    assert result.first_reason().startswith("not_json: ")


def test_a_row_that_postgresql_refused_becomes_a_dead_letter_with_its_bytes() -> None:
    item = record(3)
    letter = prepared(item, partition=1).rows[0].as_dead_letter()

    assert (letter.partition, letter.offset, letter.reason, letter.payload) == (1, 3, "refused_by_store", item.value)
