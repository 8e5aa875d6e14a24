"""What is asked of histograms and of the values of a field, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from query_api.aggregation import HistogramRequest, TopRequest, usual_interval
from query_api.filter_language.expressions import Attribute, Words
from query_api.parameters import read_histogram_request, read_top_request
from query_api.search import SearchFilter
from threatlog.process.problems import Problem

HOUR = {"start_time": "2026-11-24T10:00:00Z", "end_time": "2026-11-24T11:00:00Z"}
START, END = datetime(2026, 11, 24, 10, tzinfo=UTC), datetime(2026, 11, 24, 11, tzinfo=UTC)


def histogram_of(**values: str) -> HistogramRequest:
    return read_histogram_request(urlencode({**HOUR, **values}).encode())


def test_an_interval_is_minutes_hours_or_days_and_otherwise_one_that_makes_a_picture() -> None:
    assert histogram_of() == HistogramRequest(SearchFilter(START, END), timedelta(minutes=1), "severity")
    assert histogram_of(interval="90m", by="source").interval == timedelta(minutes=90)
    assert histogram_of(interval="1d", q="x").filter.expression == Words("x")


@pytest.mark.parametrize("values", [{"interval": "1s"}, {"interval": "0m"}, {"interval": "400d"}, {"by": "message"}])
def test_a_histogram_of_anything_else_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        histogram_of(**values)
    assert caught.value.extra["parameter"] == next(iter(values))


@pytest.mark.parametrize("years", [1, 9, 160, 165, 2000, 7900])
def test_however_long_a_range_is_its_usual_intervals_are_at_most_100(years: int) -> None:
    end = START + timedelta(days=round(365.2425 * years))
    interval = usual_interval(START, end)
    assert 1 < (end - START) / interval <= 100
    assert interval % timedelta(minutes=1) == timedelta()


def test_too_many_intervals_are_refused() -> None:
    with pytest.raises(Problem, match="at most 2,000"):
        histogram_of(start_time="2026-01-01T00:00:00Z", interval="1m")


def top_of(**values: str) -> TopRequest:
    return read_top_request(urlencode({**HOUR, **values}).encode())


def test_the_values_of_a_field_are_asked_for_by_its_name() -> None:
    assert top_of(field="source") == TopRequest(SearchFilter(START, END), "source", 10)
    assert top_of(field="user.name", limit="3").field == Attribute(("user", "name"))
    assert top_of(field='attributes."a b"[0]').field == Attribute(("a b", "0"))


@pytest.mark.parametrize("field", ["", "message", "attributes", "a b", "x OR y", "-x", "a:b c", "source.x"])
def test_what_is_no_field_is_refused(field: str) -> None:
    with pytest.raises(Problem) as caught:
        top_of(field=field)
    assert caught.value.extra["parameter"] == "field"
