"""The Kafka record's checks, held to what the tables can store, also for arbitrary bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import (
    EARLIEST,
    LATEST,
    REJECTION_CODES,
    SEVERITIES,
    SEVERITY_ALIASES,
    EventLimits,
    EventRecord,
    RejectedEventError,
    check_event,
    decode_record,
    id_of_digest,
    id_of_position,
    moment_of,
    severity_of,
    time_of_id,
    unix_us,
)
from threatlog.process.settings import Limits

LIMITS = EventLimits()
GOOD = {"severity": "HIGH", "source": "web-01", "message": "m", "timestamp": "2026-11-24T10:15:30Z"}


def checked(value: bytes | None) -> EventRecord:
    event = decode_record(value)
    check_event(event, LIMITS)
    return event


def code_of(value: bytes | None) -> str:
    with pytest.raises(RejectedEventError) as refusal:
        checked(value)
    return refusal.value.code


def encoded(**changes: object) -> bytes:
    return orjson.dumps({**GOOD, **changes})


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(None, "null_value", id="no value"),
        pytest.param(b"", "not_json", id="nothing"),
        pytest.param(b"{", "not_json", id="cut off"),
        pytest.param(b'{"severity":"HIGH","source":"\xff","message":""}', "not_json", id="not UTF-8"),
        pytest.param(b'{"severity":"HIGH","source":"\\ud800","message":""}', "not_json", id="lone surrogate"),
        pytest.param(b"[1]", "not_an_object", id="array"),
        pytest.param(b'"text"', "not_an_object", id="string"),
        pytest.param(b'{"severity":"HIGH","source":"s"}', "missing_field", id="no message"),
        pytest.param(encoded(level="x"), "unknown_field", id="unknown field"),
        pytest.param(encoded(message=3), "wrong_type", id="number as message"),
        pytest.param(encoded(severity="LOUD"), "bad_severity", id="unknown severity"),
        pytest.param(encoded(source=""), "bad_source", id="empty source"),
        pytest.param(encoded(source="x" * 257), "bad_source", id="long source"),
        pytest.param(encoded(timestamp="yesterday"), "bad_timestamp", id="no timestamp at all"),
        pytest.param(encoded(timestamp="2026-11-24T10:15:30"), "bad_timestamp", id="no time zone"),
        pytest.param(encoded(timestamp="0001-01-01T00:00:00+05:00"), "bad_timestamp", id="before year 1 in UTC"),
        pytest.param(encoded(timestamp="9999-12-31T23:59:59-05:00"), "bad_timestamp", id="after year 9999 in UTC"),
        pytest.param(encoded(id="x"), "bad_id", id="id that is no UUID"),
        pytest.param(encoded(attributes=[1]), "bad_attributes", id="attributes as array"),
        pytest.param(encoded(attributes=7), "bad_attributes", id="attributes as number"),
        pytest.param(encoded()[:-1] + b',"attributes":{"a":"\\ud800"}}', "not_json", id="surrogate within"),
        pytest.param(encoded()[:-1] + b',"attributes":{"a":"\xff"}}', "bad_attributes", id="not UTF-8 within"),
        pytest.param(encoded()[:-1] + b',"attributes":{"a":1e400}}', "bad_attributes", id="number out of range"),
        pytest.param(encoded(message="a\0b"), "nul_character", id="NUL in message"),
        pytest.param(encoded(attributes={"a\0": 1}), "nul_character", id="NUL in attribute name"),
        pytest.param(encoded(attributes={"a": [{"b": "\\\0"}]}), "nul_character", id="NUL after a backslash"),
        pytest.param(encoded(message="ü" * 131_073), "message_too_large", id="message over 256 KiB of UTF-8"),
        pytest.param(encoded(attributes={"a": "x" * 65_536}), "attributes_too_large", id="attributes over 64 KiB"),
        pytest.param(
            encoded()[:-1] + b',"attributes":' + b'{"a":' * 33 + b"1" + b"}" * 34, "attributes_too_deep", id="33 deep"
        ),
        pytest.param(
            encoded()[:-1] + b',"attributes":{"a":' + b"[" * 33 + b"]" * 33 + b"}}",
            "attributes_too_deep",
            id="deep array",
        ),
        pytest.param(
            encoded()[:-1] + b',"attributes":' + b'{"a":' * 9999 + b"1" + b"}" * 10_000,
            "attributes_too_deep",
            id="9,999 deep",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_code(value: bytes | None, code: str) -> None:
    assert code_of(value) == code
    assert code in REJECTION_CODES


@pytest.mark.parametrize(
    "attributes",
    [
        b'{"a":"\\\\u0000"}',
        b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}',
        b'{"a":{"a":{"a":[[[]]]}}}',
        b'{ "a" : 1.50 , "a" : 123456789012345678901234567890 }',
        b"{}",
    ],
)
def test_attributes_that_can_be_stored_keep_their_very_bytes(attributes: bytes) -> None:
    assert bytes(checked(encoded()[:-1] + b',"attributes":' + attributes + b"}").attributes) == attributes


def test_null_attributes_are_no_attributes() -> None:
    assert bytes(checked(encoded(attributes=None)).attributes) == b""


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("change", [str.upper, str.lower, str.capitalize, str.swapcase])
def test_a_severity_may_be_written_in_any_case(severity: str, change: object) -> None:
    assert callable(change)
    assert severity_of(change(severity)) == severity


@pytest.mark.parametrize(("alias", "severity"), SEVERITY_ALIASES.items())
def test_the_documented_aliases_of_severities_hold(alias: str, severity: str) -> None:
    assert severity_of(alias) == severity
    assert severity_of(alias.lower()) == severity


def test_a_refusal_names_what_is_allowed() -> None:
    with pytest.raises(RejectedEventError, match="'LOUD' is not one of INFO, LOW, MEDIUM, HIGH, CRITICAL"):
        severity_of("LOUD")


def test_a_long_wrong_severity_is_not_repeated_whole() -> None:
    with pytest.raises(RejectedEventError) as refusal:
        severity_of("x" * 10_000)
    assert len(refusal.value.detail) < 150


MOMENTS = st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = st.fixed_dictionaries(
    {
        "severity": st.sampled_from([*SEVERITIES, "error", "Loud"]) | JSON,
        "source": st.text(max_size=300) | JSON,
        "message": st.text() | JSON,
    },
    optional={
        "timestamp": MOMENTS.map(datetime.isoformat) | st.text() | JSON,
        "attributes": st.dictionaries(st.text(), JSON) | JSON,
        "id": st.uuids().map(str) | JSON,
        "received_at": MOMENTS.map(datetime.isoformat) | JSON,
        "other": JSON,
    },
)


def assert_refused_or_storable(value: bytes) -> None:
    try:
        event = checked(value)
    except RejectedEventError as refusal:
        assert refusal.code in REJECTION_CODES  # noqa: PT017 - both outcomes are right, each must hold its promise
        return
    for text in (event.source, event.message):
        assert b"\0" not in text.encode("utf-8", "strict")
    assert len(event.source) <= LIMITS.max_source_chars
    for moment in (event.timestamp,):
        assert moment is None or datetime(1, 1, 1, tzinfo=UTC) <= moment.astimezone(UTC) <= datetime(
            9999, 12, 31, tzinfo=UTC
        )
    if bytes(event.attributes):
        assert isinstance(orjson.loads(bytes(event.attributes)), dict)


@given(st.binary())
def test_arbitrary_bytes_are_refused_or_storable(value: bytes) -> None:
    assert_refused_or_storable(value)


@given(JSON)
def test_arbitrary_json_is_refused_or_storable(document: object) -> None:
    assert_refused_or_storable(msgspec.json.encode(document))


@given(FIELDS)
def test_events_with_arbitrary_fields_are_refused_or_storable(fields: dict[str, object]) -> None:
    assert_refused_or_storable(msgspec.json.encode(fields))


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_microseconds_of_a_moment_are_exact_in_any_time_zone(moment: datetime, offset_min: int) -> None:
    # Times within a day of the bounds cannot be written with every offset.
    if EARLIEST + timedelta(days=1) < moment < LATEST - timedelta(days=1):
        moment = moment.astimezone(timezone(timedelta(minutes=offset_min)))
    assert moment_of(unix_us(moment)) == moment


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=16, max_size=16))
def test_an_id_of_a_digest_is_a_uuid_of_version_8_with_its_time_in_front(ms: int, digest: bytes) -> None:
    identifier = id_of_digest(ms * 1000, digest)

    assert identifier.version == 8
    assert identifier.variant == "specified in RFC 4122"
    assert identifier.int >> 80 == ms


def test_an_id_of_a_position_is_the_same_for_the_same_record_and_another_for_the_next() -> None:
    first = id_of_position(1_764_000_000_000_000, 3, 41, 7)

    assert first == id_of_position(1_764_000_000_000_000, 3, 41, 7)
    assert UUID(bytes=first).version == 8
    assert len({first, *(id_of_position(1_764_000_000_000_000, p, o, 7) for p, o in ((3, 42), (4, 41)))}) == 3


@given(st.uuids())
def test_the_time_of_any_uuid_is_none_or_storable(identifier: UUID) -> None:
    moment = time_of_id(identifier)

    assert moment is None or EARLIEST <= moment <= LATEST


def test_the_largest_version_7_time_that_is_taken_is_storable() -> None:
    largest = UUID(int=253_402_128_000_000 << 80 | 7 << 76 | 2 << 62)
    moment = time_of_id(largest)

    assert moment is not None
    assert moment <= LATEST
    assert time_of_id(UUID(int=(1 << 48) - 1 << 80 | 7 << 76 | 2 << 62)) is None


def test_the_limits_of_an_event_are_those_of_the_settings() -> None:
    limits = EventLimits.of({**Limits().model_dump(), "max_source_chars": 17})

    assert limits == EventLimits(max_source_chars=17)
