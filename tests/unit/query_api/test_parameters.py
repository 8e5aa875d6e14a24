"""Every rule of every parameter, and that the problem names it."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from query_api.filter_language.expressions import EVERYTHING, Words
from query_api.pagination import encode_cursor
from query_api.parameters import (
    RecentRequest,
    read_event_request,
    read_page_request,
    read_query,
    read_recent_request,
    read_stats_filter,
)
from query_api.search import Cursor, PageRequest, SearchFilter
from tests.unit.query_api.builders import NOON
from threatlog.process.problems import Problem

HOUR = {"start_time": "2026-11-24T10:00:00Z", "end_time": "2026-11-24T11:00:00Z"}
START, END = datetime(2026, 11, 24, 10, tzinfo=UTC), datetime(2026, 11, 24, 11, tzinfo=UTC)
IDENTIFIER = UUID("019ab549-2e4b-8c3e-9f0a-5b1d2c3e4f50")


def page_of(raw: str | None = None, **values: str) -> PageRequest:
    query = urlencode({**HOUR, **values}) if raw is None else raw
    return read_page_request(query.encode(), max_offset=5000)


def refused(raw: str | None = None, **values: str) -> Problem:
    with pytest.raises(Problem) as caught:
        page_of(raw, **values)
    assert (caught.value.status, caught.value.code) == (422, "invalid_parameter")
    assert not caught.value.retryable
    return caught.value


def test_only_a_range_is_needed() -> None:
    assert page_of() == PageRequest(SearchFilter(START, END), limit=100, offset=0, cursor=None)


@pytest.mark.parametrize("name", ["start_time", "end_time"])
def test_a_missing_time_is_named_with_what_it_accepts(name: str) -> None:
    other = {key: value for key, value in HOUR.items() if key != name}
    problem = refused(urlencode(other))
    assert problem.extra["parameter"] == name
    assert "missing" in problem.detail
    assert "RFC 3339" in problem.detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-24",
        "2026-11-24T10:00:00",
        "2026-13-24T10:00:00Z",
        "1764000000",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_time_without_zone_or_form_is_refused(text: str) -> None:
    assert refused(start_time=text).extra["parameter"] == "start_time"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59Z"])
def test_a_time_that_no_event_can_have_is_refused_with_the_bounds(text: str) -> None:
    problem = refused(end_time=text)
    assert problem.extra["parameter"] == "end_time"
    assert "0001-01-02 to 9999-12-30" in problem.detail
    assert "RFC 3339" not in problem.detail


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-11-24T12:00:00+02:00", id="escaped plus"),
        pytest.param("2026-11-24T12:00:00 02:00", id="plus that became a space"),
        pytest.param("2026-11-24T05:00:00-05:00", id="west"),
        pytest.param("2026-11-24 10:00:00Z", id="space for T"),
    ],
)
def test_any_zone_means_the_same_moment(text: str) -> None:
    assert page_of(start_time=text).filter.start == START


def test_an_unescaped_plus_is_accepted() -> None:
    assert page_of("start_time=2026-11-24T12:00:00+02:00&end_time=2026-11-24T11:00:00Z").filter.start == START


@pytest.mark.parametrize("end", ["2026-11-24T10:00:00Z", "2026-11-24T09:00:00Z"])
def test_the_end_lies_after_the_start(end: str) -> None:
    problem = refused(end_time=end)
    assert problem.extra["parameter"] == "end_time"
    assert "after start_time" in problem.detail


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("CRITICAL,HIGH", (3, 4)),
        ("HIGH,CRITICAL,HIGH", (3, 4)),
        ("critical", (4,)),
        ("warning, info", (0, 2)),
        ("CRITICAL,HIGH,MEDIUM,LOW,INFO", ()),
    ],
)
def test_severities_are_a_set_in_any_documented_spelling(text: str, codes: tuple[int, ...]) -> None:
    assert page_of(severity=text).filter.severities == codes


def test_a_repeated_severity_adds_to_the_set() -> None:
    assert page_of(f"{urlencode(HOUR)}&severity=HIGH&severity=LOW").filter.severities == (1, 3)


@pytest.mark.parametrize("text", ["", "LOUD", "HIGH,", "HIGH;LOW"])
def test_an_unknown_severity_is_refused_with_the_known_ones(text: str) -> None:
    problem = refused(severity=text)
    assert problem.extra["parameter"] == "severity"
    assert "CRITICAL, HIGH, MEDIUM, LOW, INFO" in problem.detail


def test_a_source_may_hold_anything_that_a_source_holds() -> None:
    assert page_of(source="a|b,ü '\"%").filter.source == "a|b,ü '\"%"


def test_a_source_may_come_as_plain_utf8() -> None:
    assert page_of(f"{urlencode(HOUR)}&source=ü").filter.source == "ü"


def test_too_many_parameters_are_said_to_be_so() -> None:
    assert "more than 64 parameters" in refused("&".join(["limit=1"] * 65)).detail


@pytest.mark.parametrize("text", ["", "x" * 1025, "nul\0"])
def test_a_source_that_cannot_be_stored_is_refused(text: str) -> None:
    assert refused(source=text).extra["parameter"] == "source"


@pytest.mark.parametrize("text", ["0", "1001", "-1", "ten", "1.5", "", "9" * 30, "١"])
def test_the_limit_lies_between_1_and_1000(text: str) -> None:
    problem = refused(limit=text)
    assert problem.extra["parameter"] == "limit"
    assert "1 to 1000" in problem.detail


@pytest.mark.parametrize("text", ["1", "1000"])
def test_both_ends_of_the_limit_are_allowed(text: str) -> None:
    assert page_of(limit=text).limit == int(text)


def test_an_offset_within_its_bound_is_taken() -> None:
    assert page_of(offset="5000").offset == 5000


def test_a_larger_offset_is_pointed_to_the_cursor() -> None:
    problem = refused(offset="5001")
    assert problem.extra["parameter"] == "offset"
    assert "next_cursor" in problem.detail


def test_an_offset_that_is_no_number_is_refused() -> None:
    assert refused(offset="-1").extra["parameter"] == "offset"


def test_a_cursor_comes_back_as_it_was_given() -> None:
    cursor = Cursor(START, IDENTIFIER, 12, 34)
    assert page_of(cursor=encode_cursor(cursor, SearchFilter(START, END))).cursor == cursor


def test_a_cursor_of_another_query_is_refused() -> None:
    cursor = encode_cursor(Cursor(NOON, IDENTIFIER, 12, 34), SearchFilter(START, END, source="other"))
    problem = refused(cursor=cursor)
    assert problem.extra["parameter"] == "cursor"
    assert "other start_time, end_time, severity, source or q" in problem.detail


def test_a_cursor_of_another_filter_is_refused_and_one_without_a_total_is_none() -> None:
    wanted = SearchFilter(START, END, expression=Words("failed"))
    cursor = Cursor(START, IDENTIFIER, None, None)
    text = encode_cursor(cursor, wanted)
    assert page_of(cursor=text, q="failed").cursor == cursor
    assert refused(cursor=text, q="fail").extra["parameter"] == "cursor"
    assert refused(cursor=text).extra["parameter"] == "cursor"


def test_a_filter_is_read_and_one_that_is_none_is_refused_at_the_character() -> None:
    assert page_of(q="failed").filter.expression == Words("failed")
    assert page_of(q="").filter.expression == EVERYTHING
    assert not page_of(q="severity:HIGH source:web-*", offset="5").filter.reads_events
    problem = refused(q="failed (root")
    assert (problem.extra["parameter"], problem.extra["position"]) == ("q", 12)
    assert problem.detail == "q is no filter at its end: the filter ends here: a closing parenthesis is missing"
    problem = refused(q="a AND OR b")
    assert problem.extra["position"] == 6
    assert problem.detail.startswith("q is no filter at character 7: 'OR' cannot be read here")


def test_an_offset_into_what_must_be_searched_is_refused() -> None:
    assert refused(q="failed", offset="5").extra["parameter"] == "offset"
    assert page_of(q="failed", offset="0").offset == 0


def test_offset_and_cursor_exclude_each_other() -> None:
    cursor = encode_cursor(Cursor(NOON, IDENTIFIER, 12, 34), SearchFilter(START, END))
    assert refused(cursor=cursor, offset="0").extra["parameter"] == "offset"


def test_an_unknown_parameter_is_refused_by_name_with_the_known_ones() -> None:
    problem = refused(sort="asc")
    assert problem.extra["parameter"] == "sort"
    assert "start_time, end_time, severity, source, q, limit, offset, cursor" in problem.detail


def test_a_parameter_given_twice_is_refused() -> None:
    assert refused(f"{urlencode(HOUR)}&limit=1&limit=2").extra["parameter"] == "limit"


@pytest.mark.parametrize("raw", ["source=%ff%fe", "a=1&" * 100, "start_time=\xff"])
def test_a_query_string_that_cannot_be_read_is_refused(raw: str) -> None:
    with pytest.raises(Problem) as caught:
        read_query(raw.encode("latin-1"), ("source",))
    assert caught.value.status == 422


def test_a_long_value_is_shown_only_in_part() -> None:
    assert len(refused(source="x" * 100_000).detail) < 300


def test_counts_take_a_range_and_filters_only() -> None:
    wanted = read_stats_filter(urlencode({**HOUR, "source": "web-01", "severity": "HIGH"}).encode())
    assert wanted == SearchFilter(START, END, (3,), "web-01")
    with pytest.raises(Problem):
        read_stats_filter(urlencode({**HOUR, "limit": "1"}).encode())


def test_recent_takes_severities_and_a_limit() -> None:
    assert read_recent_request(b"severity=HIGH&limit=5") == RecentRequest((3,), 5)
    assert read_recent_request(b"") == RecentRequest((), 100)


def test_an_event_is_named_by_its_id_and_perhaps_its_time() -> None:
    assert read_event_request(str(IDENTIFIER), b"") == (IDENTIFIER, None)
    at = quote("2026-11-24T10:00:00.000123Z")
    assert read_event_request(str(IDENTIFIER), f"timestamp={at}".encode()) == (
        IDENTIFIER,
        START.replace(microsecond=123),
    )


def test_an_id_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        read_event_request("12", b"")
    assert caught.value.extra["parameter"] == "id"
