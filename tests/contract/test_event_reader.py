"""What every event reader promises, held on the one in memory and on the one over PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from ingest_gateway.contract import unix_us
from query_api.reading import EventPage, LoggedEvent
from query_api.search import Cursor, PageRequest
from tests.contract.event_readers import LATE, READERS, UNTIL, Subject, messages, subject_of
from tests.unit.query_api.builders import NOON, logged_event, moment, search_filter


@pytest.fixture(params=READERS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return subject_of(request)


def cursor_after(page: EventPage) -> Cursor:
    last = page.events[-1]
    return Cursor(last.timestamp, last.id, page.total, None)


async def test_a_page_is_newest_first_and_ties_are_by_id(subject: Subject) -> None:
    tied = [logged_event(n, timestamp=moment(5), message=f"tied {n}") for n in (2, 3, 1)]
    async with subject.over([logged_event(9), *tied, logged_event(1)]) as reader:
        page = await reader.page(PageRequest(search_filter()))
    assert messages(page) == ["message 9", "tied 3", "tied 2", "tied 1", "message 1"]
    assert (page.total, page.has_more) == (5, False)


async def test_every_field_comes_back_and_attributes_byte_for_byte(subject: Subject) -> None:
    raw = b'{"z": 1.0,  "a":[1,2e5], "z":"twice"}'
    event = msgspec.structs.replace(
        logged_event(timestamp=NOON + timedelta(microseconds=123_457), source="a|b ü", message="line\nline"),
        attributes=msgspec.Raw(raw),
    )
    async with subject.over([event]) as reader:
        (found,) = (await reader.page(PageRequest(search_filter()))).events
    assert found == event


async def test_the_start_is_in_the_range_and_the_end_is_not(subject: Subject) -> None:
    microsecond = timedelta(microseconds=1)
    edges = [NOON - microsecond, NOON, LATE - microsecond, LATE]
    events = [logged_event(n, timestamp=ts, message=f"edge {n}") for n, ts in enumerate(edges)]
    async with subject.over(events) as reader:
        page = await reader.page(PageRequest(search_filter()))
    assert (messages(page), page.total) == (["edge 2", "edge 1"], 2)


@pytest.mark.parametrize(
    ("severities", "source", "found"),
    [
        ((), None, [5, 4, 3, 2, 1]),
        ((3,), None, [5, 3, 1]),
        ((1, 3), None, [5, 4, 3, 2, 1]),
        ((), "b", [4, 3]),
        ((3,), "b", [3]),
        ((4,), None, []),
        ((), "absent", []),
        ((), "B", []),
    ],
)
async def test_filters_narrow_page_and_total(
    subject: Subject, severities: tuple[int, ...], source: str | None, found: list[int]
) -> None:
    events = [
        logged_event(n, severity="HIGH" if n % 2 else "LOW", source="b" if n in (3, 4) else "a") for n in range(1, 6)
    ]
    async with subject.over(events) as reader:
        page = await reader.page(PageRequest(search_filter(severities=severities, source=source)))
    assert messages(page) == [f"message {n}" for n in found]
    assert page.total == len(found)


@pytest.mark.parametrize("source", [None, "web-01"])
async def test_limit_and_offset_cut_the_page_and_not_the_total(subject: Subject, source: str | None) -> None:
    async with subject.over([logged_event(n) for n in range(10)]) as reader:
        wanted = search_filter(source=source)
        page = await reader.page(PageRequest(wanted, limit=3, offset=2))
        assert (messages(page), page.total, page.has_more) == (["message 7", "message 6", "message 5"], 10, True)
        last = await reader.page(PageRequest(wanted, limit=3, offset=7))
        assert (len(last.events), last.has_more) == (3, False)
        beyond = await reader.page(PageRequest(wanted, limit=3, offset=50))
        assert (beyond.events, beyond.total, beyond.has_more) == ([], 10, False)


@pytest.mark.parametrize("source", [None, "web-01"])
async def test_pages_by_cursor_are_the_whole_and_nothing_twice(subject: Subject, source: str | None) -> None:
    events = [logged_event(n, timestamp=moment(n // 4)) for n in range(30)]
    async with subject.over(events) as reader:
        request = PageRequest(search_filter(source=source), limit=7)
        whole = (await reader.page(PageRequest(request.filter, limit=1000))).events
        seen: list[LoggedEvent] = []
        page = await reader.page(request)
        while True:
            seen += page.events
            assert page.total == 30
            if not page.has_more:
                break
            page = await reader.page(PageRequest(request.filter, 7, cursor=cursor_after(page)))
    assert seen == list(whole)


async def test_the_total_of_a_cursor_is_carried(subject: Subject) -> None:
    async with subject.over([logged_event(n) for n in range(5)]) as reader:
        page = await reader.page(PageRequest(search_filter(), cursor=Cursor(moment(3), UUID(int=0), 77, None)))
    assert (page.total, messages(page)) == (77, ["message 2", "message 1", "message 0"])


async def test_a_cursor_outside_the_range_finds_nothing(subject: Subject) -> None:
    async with subject.over([logged_event(1, source="a")]) as reader:
        for source in (None, "a"):
            cursor = Cursor(moment(-5), UUID(int=0), 1, None)
            page = await reader.page(PageRequest(search_filter(source=source), cursor=cursor))
            assert (page.events, page.has_more) == ([], False)


@pytest.mark.parametrize("source", [None, "web-01"])
async def test_large_events_make_a_page_shorter_and_all_are_reached_by_cursor(
    subject: Subject, source: str | None
) -> None:
    # Sixteen of these are what one answer may hold.
    large = ["m" * 1024 * 1020 for _ in range(10)] + ["ü" * 1024 * 510 for _ in range(10)]
    attributes = msgspec.Raw(b'{"a":"%s"}' % (b"b" * (4 * 1024 - 8)))
    events = [
        msgspec.structs.replace(logged_event(n, message=message), attributes=attributes)
        for n, message in enumerate(large)
    ]
    async with subject.over(events) as reader:
        request = PageRequest(search_filter(source=source), limit=18)
        page = await reader.page(request)
        assert (len(page.events), page.total, page.has_more) == (16, 20, True)
        rest = await reader.page(PageRequest(request.filter, 18, cursor=cursor_after(page)))
        assert (len(rest.events), rest.has_more) == (4, False)
        assert len((await reader.recent((), LATE, 18)).events) == 16
        assert len((await reader.recent((3,), LATE, 18)).events) == 16
        assert len(await reader.events([(event.timestamp, event.id) for event in events])) == 16
    assert [*page.events, *rest.events] == events[::-1]


async def test_every_answer_has_the_stored_positions(subject: Subject) -> None:
    expected = {partition: unix_us(until) for partition, until in UNTIL.items()}
    async with subject.over([logged_event(1)]) as reader:
        assert (await reader.page(PageRequest(search_filter()))).stored_until_us == expected
        assert (await reader.page(PageRequest(search_filter(source="absent")))).stored_until_us == expected
        assert (await reader.recent((), LATE, 5)).stored_until_us == expected
        assert (await reader.stats(search_filter())).stored_until_us == expected
        assert (await reader.event(UUID(int=1), None))[1] == expected


@pytest.mark.parametrize(
    "identifier",
    [
        pytest.param(logged_event(3).id, id="holds its time"),
        pytest.param(UUID("5e1b0f6e-9d42-4d6f-8d3f-0c9a3b7f1e22"), id="random"),
        pytest.param(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"), id="holds a time beyond all"),
    ],
)
async def test_an_event_is_found_by_its_id(subject: Subject, identifier: UUID) -> None:
    event = logged_event(3, id=identifier)
    async with subject.over([logged_event(1), event]) as reader:
        assert (await reader.event(identifier, None))[0] == event
        assert (await reader.event(identifier, moment(3)))[0] == event
        assert (await reader.event(identifier, moment(4)))[0] is None


async def test_the_time_tells_two_events_with_one_id_apart(subject: Subject) -> None:
    one, other = (logged_event(n, id=UUID(int=5)) for n in (1, 2))
    async with subject.over([one, other]) as reader:
        assert (await reader.event(UUID(int=5), moment(1)))[0] == one
        assert (await reader.event(UUID(int=5), moment(2)))[0] == other
        assert (await reader.event(UUID(int=5), None))[0] == other


async def test_an_absent_id_is_absent_each_time(subject: Subject) -> None:
    async with subject.over([logged_event(1)]) as reader:
        assert (await reader.event(UUID(int=5), None))[0] is None
        assert (await reader.event(UUID(int=5), None))[0] is None


async def test_recent_events_are_the_newest_up_to_a_moment(subject: Subject) -> None:
    events = [logged_event(n, severity=["LOW", "HIGH", "CRITICAL"][n % 3]) for n in range(9)]
    async with subject.over(events) as reader:
        assert messages(await reader.recent((), moment(6), 3)) == ["message 6", "message 5", "message 4"]
        assert messages(await reader.recent((3,), LATE, 2)) == ["message 7", "message 4"]
        assert messages(await reader.recent((3, 4), LATE, 3)) == ["message 8", "message 7", "message 5"]


async def test_events_are_found_by_time_and_id(subject: Subject) -> None:
    wanted: list[tuple[datetime, UUID]] = [(moment(n), logged_event(n).id) for n in (1, 3)]
    async with subject.over([logged_event(n) for n in range(5)]) as reader:
        found = await reader.events([*wanted, (moment(2), UUID(int=1))])
    assert sorted(event.message for event in found) == ["message 1", "message 3"]


async def test_counts_are_exact_and_the_largest_sources_are_listed(subject: Subject) -> None:
    events = [logged_event(n, source=f"s{n % 105:03d}", severity="LOW" if n % 3 else "HIGH") for n in range(300)]
    async with subject.over(events) as reader:
        counts = await reader.stats(search_filter(start=moment(10), end=moment(250)))
        narrowed = await reader.stats(search_filter(severities=(3,), source="s009"))
    assert (counts.total, counts.sources, len(counts.by_source)) == (240, 105, 100)
    assert counts.by_severity == {"CRITICAL": 0, "HIGH": 80, "MEDIUM": 0, "LOW": 160, "INFO": 0}
    assert list(counts.by_source)[:2] == ["s010", "s011"]
    assert counts.by_source["s010"] == 3
    assert (narrowed.total, dict(narrowed.by_source)) == (3, {"s009": 3})
    assert sum(counts.by_source.values()) == 230


async def test_counts_of_an_empty_range_are_zero(subject: Subject) -> None:
    async with subject.over([]) as reader:
        counts = await reader.stats(search_filter())
    assert (counts.total, counts.sources, counts.by_source) == (0, 0, {})
