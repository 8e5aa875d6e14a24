"""What every event reader makes of a filter: pages, counts, histograms and values."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from ingest_gateway.contract import SEVERITIES
from query_api.aggregation import HistogramRequest, TopField, TopRequest
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.parse import parse
from query_api.reading import LoggedEvent
from query_api.search import PageRequest
from tests.contract.event_readers import READERS, Subject, messages, subject_of
from tests.fakes.memory_reader import MemoryReader
from tests.unit.query_api.builders import NOON, logged_event, moment, search_filter


@pytest.fixture(params=READERS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return subject_of(request)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("message", [4, 3, 2, 1]),
        ("-4", [3, 2, 1]),
        ("1 OR 3", [3, 1]),
        ('"message 2" severity:LOW', [2]),
        ("severity>=HIGH", [3, 1]),
        ("source:WEB-* severity:LOW", [4, 2]),
        ("user:root", [3]),
        ("n>=3 -user:*", [4]),
        ("absent", []),
    ],
)
async def test_a_filter_narrows_page_total_and_counts(subject: Subject, text: str, found: list[int]) -> None:
    events = [
        msgspec.structs.replace(
            logged_event(n, severity="HIGH" if n % 2 else "LOW"),
            attributes=msgspec.Raw(b'{"n":%d%s}' % (n, b',"user":"Root"' if n == 3 else b"")),
        )
        for n in range(1, 5)
    ]
    async with subject.over(events) as reader:
        wanted = search_filter(expression=parse(text))
        page = await reader.page(PageRequest(wanted))
        counts = await reader.stats(wanted)
        first = await reader.page(PageRequest(wanted, limit=1))
        price = await reader.price(wanted)
    assert messages(page) == [f"message {n}" for n in found]
    assert (page.total, page.has_more, page.scanned_until) == (len(found), False, None)
    assert (counts.total, counts.scanned_until) == (len(found), None)
    # Who stops at a full page does not know how many there are, unless the counts say so.
    assert first.total == (None if wanted.reads_events and len(found) > 1 else len(found))
    assert price.in_range == 4
    assert price.matching_at_most >= len(found)
    assert (price.to_read > 0) == (wanted.reads_events and price.matching_at_most > 0)


def told_apart(n: int) -> LoggedEvent:
    """One every eight minutes, of every severity and two sources, with attributes."""
    raw = b'{"user":"u%d","tags":["a",%d,{"x":1}],"none":null}' % (n % 3, n % 2)
    event = logged_event(n, timestamp=moment(n * 480), severity=SEVERITIES[n % 5], source="ab"[n % 2])
    return msgspec.structs.replace(event, attributes=msgspec.Raw(raw))


@pytest.mark.parametrize("text", ["", "severity>=LOW -source:b", "message", "user:u1 OR severity:INFO"])
@pytest.mark.parametrize("minutes", [1, 7, 15, 60])
async def test_a_histogram_counts_each_event_in_its_interval(subject: Subject, text: str, minutes: int) -> None:
    events = [told_apart(n) for n in range(8)]
    wanted = search_filter(start=moment(100), end=moment(2000), expression=parse(text))
    asked = [HistogramRequest(wanted, timedelta(minutes=minutes), by) for by in ("severity", "source")]
    async with subject.over(events) as reader:
        found = [await reader.histogram(request) for request in asked]
    plain = [await MemoryReader(events).histogram(request) for request in asked]
    assert [dict(histogram.cells) for histogram in found] == [dict(histogram.cells) for histogram in plain]
    assert sum(found[0].cells.values()) > 0


@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 3), (1, 0), (100, 100)])
async def test_the_events_around_one_are_of_its_source_and_the_nearest(
    subject: Subject, before: int, after: int
) -> None:
    tied = [logged_event(n, timestamp=moment(3600), source="a", message=f"tied {n}") for n in (101, 102, 103)]
    far = [logged_event(n, timestamp=moment(n * 4000), source="a") for n in range(1, 12)]
    # All hour long, so that in the hour and the minute of an event most of them are on its other side.
    dense = [logged_event(n, timestamp=moment(n * 7), source="c") for n in range(500, 1000)]
    events = [*tied, *far, *dense, *(logged_event(n, source="b") for n in range(3590, 3610))]
    chosen = (tied[1], far[5], dense[30], dense[250], dense[499])
    async with subject.over(events) as reader:
        found = [await reader.context(event, before, after) for event in chosen]
    plain = [await MemoryReader(events).context(event, before, after) for event in chosen]
    for one, other in zip(found, plain, strict=True):
        assert (one.before, one.after) == (other.before, other.after)
    assert (len(found[0].before), len(found[0].after)) == (min(before, 1), min(after, 12))


async def test_in_an_hour_full_of_events_the_nearest_ones_are_around(subject: Subject) -> None:
    steady = [logged_event(n, timestamp=moment(3600 + 30 * n), source="a") for n in range(120)]
    async with subject.over(steady) as reader:
        found = [await reader.context(steady[at], 3, 3) for at in (2, 60, 117)]
    nearest = [(steady[max(0, at - 3) : at], steady[at + 1 : at + 4]) for at in (2, 60, 117)]
    assert [(list(one.before), list(one.after)) for one in found] == nearest


async def test_a_histogram_by_source_lists_the_largest(subject: Subject) -> None:
    events = [logged_event(n, source=f"s{n % 15:02}") for n in range(40)]
    async with subject.over(events) as reader:
        for text in ("", "message"):
            wanted = search_filter(expression=parse(text))
            cells = (await reader.histogram(HistogramRequest(wanted, timedelta(hours=1), "source"))).cells
            assert cells == {(NOON, f"s{n:02}"): 3 for n in range(10)} | {(NOON, None): 10}


@pytest.mark.parametrize(
    "field", ["severity", "source", Attribute(("user",)), Attribute(("tags",)), Attribute(("none",))]
)
@pytest.mark.parametrize("text", ["", "source:a", "message -user:u2"])
async def test_the_most_frequent_values_are_counted(subject: Subject, field: TopField, text: str) -> None:
    events = [told_apart(n) for n in range(7)]
    request = TopRequest(search_filter(expression=parse(text)), field, limit=2)
    async with subject.over(events) as reader:
        found = await reader.top(request)
    plain = await MemoryReader(events).top(request)
    assert [n for _, n in found.values] == [n for _, n in plain.values]
    assert (found.distinct, found.total, found.is_exact) == (plain.distinct, plain.total, True)
    assert found.scanned_until is None
