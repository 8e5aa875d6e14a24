"""Which events are kept, with which id, time and record, and which are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.acceptance import Acceptance, accept
from ingest_gateway.contract import (
    EARLIEST,
    LATEST,
    EventLimits,
    ReceivedEvent,
    RejectedEventError,
    decode_record,
    time_of_id,
    unix_us,
)
from ingest_gateway.event_ids import IdempotentIds, IdSource, TimeOrderedIds, idempotency_key
from threatlog.process.problems import Problem

NOW = datetime(2026, 11, 24, 10, 15, 31, 500000, tzinfo=UTC)
THEN = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
V7 = UUID("019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50")
V4 = UUID("5b0f9f1e-0c5b-4b0e-8a51-2f9a6b1c7d3e")


def event(timestamp: datetime | None = None, identifier: UUID | None = None, message: str = "m") -> ReceivedEvent:
    return ReceivedEvent("error", "s", message, timestamp, id=identifier)


def by_time() -> IdSource:
    return TimeOrderedIds(bytes(range(10)))


def kept(*items: ReceivedEvent | RejectedEventError, ids: IdSource | None = None) -> Acceptance:
    return accept(items, EventLimits(max_event_bytes=2000), NOW, ids or by_time())


def test_the_record_holds_the_event_with_the_canonical_severity_and_the_time_of_receipt() -> None:
    record = decode_record(kept(event(THEN)).values[0])

    assert (record.severity, record.source, record.message) == ("HIGH", "s", "m")
    assert (record.timestamp, record.received_at) == (THEN, NOW)


def test_an_event_without_a_timestamp_happened_when_it_was_received() -> None:
    assert decode_record(kept(event()).values[0]).timestamp == NOW


def test_an_event_without_an_id_gets_a_version_7_id_with_its_own_time() -> None:
    identifier = UUID(str(kept(event(THEN)).ids[0]))

    assert identifier.version == 7
    assert time_of_id(identifier) == THEN.replace(microsecond=678000)


def test_an_id_is_the_one_in_the_record() -> None:
    result = kept(event(THEN), event(THEN, V4))

    assert [str(decode_record(value).id) for value in result.values] == [str(given_id) for given_id in result.ids]


def test_the_sender_s_own_id_is_kept() -> None:
    assert kept(event(THEN, V4)).ids == [V4]


def test_the_sender_s_own_id_counts_also_under_an_idempotency_key() -> None:
    assert kept(event(THEN, V4), ids=IdempotentIds(b"key")).ids == [V4]


@pytest.mark.parametrize("ids", [by_time(), IdempotentIds(b"key")])
def test_a_version_7_id_without_a_timestamp_gives_the_event_its_time(ids: IdSource) -> None:
    record = decode_record(kept(event(None, V7), ids=ids).values[0])

    assert record.timestamp == time_of_id(V7)


@pytest.mark.parametrize("ids", [by_time(), IdempotentIds(b"key")])
def test_another_id_without_a_timestamp_is_refused(ids: IdSource) -> None:
    assert kept(event(None, V4), ids=ids).rejections[0].code == "id_without_timestamp"


def test_an_idempotency_key_without_a_timestamp_is_refused() -> None:
    assert kept(event(), ids=IdempotentIds(b"key")).rejections[0].code == "id_without_timestamp"


def test_the_same_key_means_the_same_ids_whenever_it_comes() -> None:
    first = kept(event(THEN), event(THEN), ids=IdempotentIds(b"key"))
    later = accept([event(THEN), event(THEN)], EventLimits(), LATEST, IdempotentIds(b"key"))

    assert first.ids == later.ids
    assert first.ids[0] != first.ids[1]


def test_another_key_means_other_ids() -> None:
    assert kept(event(THEN), ids=IdempotentIds(b"a")).ids != kept(event(THEN), ids=IdempotentIds(b"b")).ids


def test_a_key_used_again_for_another_event_never_takes_it_for_the_first() -> None:
    events = [
        ReceivedEvent("error", "s", "m", THEN),
        ReceivedEvent("low", "s", "m", THEN),
        ReceivedEvent("error", "sm", "", THEN),
        ReceivedEvent("error", "t", "m", THEN),
        ReceivedEvent("error", "s", "n", THEN),
        ReceivedEvent("error", "s", "m", THEN, msgspec.Raw(b'{"a":1}')),
        ReceivedEvent("error", "s", "m", THEN, msgspec.Raw(b'{"a":2}')),
    ]

    assert len({kept(item, ids=IdempotentIds(b"key")).ids[0] for item in events}) == len(events)


def test_under_a_key_another_spelling_of_the_severity_is_the_same_event() -> None:
    error, high = (ReceivedEvent(severity, "s", "m", THEN) for severity in ("error", "HIGH"))

    assert kept(error, ids=IdempotentIds(b"key")).ids == kept(high, ids=IdempotentIds(b"key")).ids


def test_the_id_of_an_event_under_a_key_stays_what_it_is() -> None:
    first = ReceivedEvent("CRITICAL", "fw-02", "Port scan", THEN, msgspec.Raw(b'{"ports":1024}'))

    assert [str(given_id) for given_id in kept(first, ids=IdempotentIds(b"key")).ids] == [
        "019424f8-632e-8943-a20b-0f7a8855de46"
    ]


def test_under_a_key_a_bad_item_does_not_shift_the_ids_of_the_others() -> None:
    good = kept(event(THEN), event(THEN), event(THEN), ids=IdempotentIds(b"key"))
    mixed = kept(event(THEN), RejectedEventError("not_json", "x"), event(THEN), ids=IdempotentIds(b"key"))

    assert mixed.ids == [good.ids[0], None, good.ids[2]]


def test_bad_items_are_refused_with_index_and_code_and_the_others_kept() -> None:
    result = kept(event(message="1"), RejectedEventError("not_json", "why"), event(message="a\0"), event(message="4"))

    assert [(refused.index, refused.code) for refused in result.rejections] == [(1, "not_json"), (2, "nul_character")]
    assert [decode_record(value).message for value in result.values] == ["1", "4"]
    assert [given_id is None for given_id in result.ids] == [False, True, True, False]


def test_an_event_that_is_too_large_as_a_record_is_refused() -> None:
    assert kept(event(message="x" * 2000)).rejections[0].code == "event_too_large"


def test_attributes_reach_the_record_as_they_came() -> None:
    item = msgspec.json.decode(
        b'{"severity":"LOW","source":"s","message":"m","attributes":{ "a" : 1.50 }}', type=ReceivedEvent
    )

    assert bytes(decode_record(kept(item).values[0]).attributes) == b'{ "a" : 1.50 }'


@given(
    st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC)),
    st.binary(min_size=10, max_size=10),
    st.integers(0, 5000),
)
def test_any_time_and_chance_make_a_version_7_id(moment: datetime, chance: bytes, index: int) -> None:
    text = TimeOrderedIds(chance).id_of(index, moment, "LOW", event())
    identifier = UUID(text)

    assert str(identifier) == text
    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
    assert identifier.int >> 80 == max(unix_us(moment) // 1000, 0)


@given(st.binary(min_size=10, max_size=10))
def test_ids_of_one_request_differ(chance: bytes) -> None:
    ids = TimeOrderedIds(chance)

    assert len({ids.id_of(index, THEN, "LOW", event()) for index in range(1000)}) == 1000


def test_the_random_bits_all_reach_the_id() -> None:
    ones, zeros = (TimeOrderedIds(chance).id_of(0, THEN, "LOW", event()) for chance in (b"\xff" * 10, bytes(10)))

    assert ones[14:] == "7fff-bfff-ffffffffffff"
    assert zeros[14:] == "7000-8000-000000000000"


def test_a_request_without_the_header_has_no_key() -> None:
    assert idempotency_key(None) is None
    assert idempotency_key(b" a key ") == b"a key"


@pytest.mark.parametrize("header", [b"", b"  ", b"x" * 256, b"\xc3\xbc", b"a\x7f"])
def test_a_key_that_is_empty_long_or_not_ascii_is_400(header: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        idempotency_key(header)
    assert (refusal.value.status, refusal.value.code) == (400, "bad_idempotency_key")
