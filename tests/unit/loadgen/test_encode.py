"""Rules of the bytes that are sent: documented fields, an id of the event's own time, the same again each time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
import pytest

from loadgen.encode import EventEncoder, EventRange, Templates, make_templates, rfc3339
from loadgen.identity import RunIdentity

IDENTITY = RunIdentity(0x2ABCDEF)
TEMPLATES = make_templates(7, "lg-test-", 50)
ENCODER = EventEncoder(IDENTITY, TEMPLATES)


def test_events_without_attributes_leave_the_field_out() -> None:
    plain = make_templates(7, "", 50, attributes=False)
    assert all(set(msgspec.json.decode(b"{" + tail)) == {"severity", "source", "message"} for tail in plain.tails)
    assert all(event.attributes == {} for event in plain.events)


@pytest.mark.parametrize("step_us", [0, 7, 333, 1000, 2500])
def test_each_event_has_the_id_and_time_of_its_number(step_us: int) -> None:
    events = EventRange(1234, 300, 1_790_000_000_123_456, step_us)
    for number, value in enumerate(ENCODER.encode(events), events.first):
        event = msgspec.json.decode(value)
        identifier = UUID(event["id"])
        assert event["timestamp"] == rfc3339(events.ms_of(number))
        assert identifier.version == 7
        assert identifier.int >> 80 == events.ms_of(number)
        assert IDENTITY.number_of(identifier) == number
        assert event["message"] == TEMPLATES.event(number).message
        assert event["source"].startswith("lg-test-")
    assert number == events.first + events.count - 1


def test_the_same_range_gives_the_same_bytes() -> None:
    events = EventRange(5, 200, 1_790_000_000_000_000, 100)
    assert ENCODER.encode(events) == ENCODER.encode(events)


def test_times_are_rfc3339_in_utc() -> None:
    assert rfc3339(1_767_225_600_007) == "2026-01-01T00:00:00.007Z"
    assert datetime.fromisoformat(rfc3339(999)).timestamp() == 0.999


@pytest.mark.parametrize("spans", [[], [(0, 1)], [(0, 50)], [(3, 49)], [(49, 51)], [(10, 260)], [(0, 7), (120, 121)]])
def test_counts_and_numbers_of_a_source_are_those_of_looking_at_each_event(spans: list[tuple[int, int]]) -> None:
    for source in TEMPLATES.sources:
        counted = [n for begin, end in spans for n in range(begin, end) if TEMPLATES.event(n).source == source]
        assert TEMPLATES.count_of(source, spans) == len(counted)
        assert list(TEMPLATES.numbers_of(source, spans)) == counted


def test_shared_sources_keep_their_names() -> None:
    assert {event.source for event in make_templates(7, "", 200).events} <= {
        name.removeprefix("lg-x-") for name in Templates(make_templates(7, "lg-x-", 200).events).sources
    }
