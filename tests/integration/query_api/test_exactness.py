"""Totals, counts and pages against one plain query, over ranges and filters of every kind, also while rows come in."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from ingest_gateway.contract import EARLIEST, SEVERITIES
from query_api.page_search import PageSearch, find_page
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.postgres_sessions import PostgresSnapshot, open_pool
from query_api.reading import LoggedEvent
from query_api.search import Cursor, PageRequest, SearchFilter
from query_api.source_indexed import SourceIndexed
from query_api.timeline import HOUR, MINUTE, Window
from tests.servers import Stack
from tests.stored_events import make_day, random_events, store_events, store_positions

pytestmark = pytest.mark.integration

# Four days: one closed with its index by source, one without, one of the default partition before and one behind.
FIRST = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LAST = FIRST + timedelta(days=2, hours=9)
# Around 1970, where counted time changes its sign; all of it is in the default partition.
OLD_FIRST = datetime(1969, 12, 31, 20, 0, tzinfo=UTC)
OLD_LAST = datetime(1970, 1, 1, 3, 0, tzinfo=UTC)
EVENTS = 5000
OLD_EVENTS = 1000
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(stack.postgres_dsn)
    await make_day(connection, FIRST + timedelta(days=1), closed=True)
    await make_day(connection, FIRST + timedelta(days=2), closed=False)
    await store_positions(connection, stack.settings.kafka.topic, {0: LAST})
    yield connection
    await connection.close()


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[Pool]:
    pool = await open_pool(stack.postgres_of("query"), 20.0, 10)
    yield pool
    await pool.close()


@pytest.fixture
async def reader(stack: Stack) -> AsyncIterator[PostgresReader]:
    made = await connections(stack.postgres_of("query"), 20.0)
    reader = PostgresReader(made, stack.settings.kafka.topic, ReaderMemory.empty(time.monotonic))
    yield reader
    await reader.close(5.0)


def all_events(rng: random.Random) -> list[LoggedEvent]:
    """Of these days and of those around 1970."""
    return random_events(rng, EVENTS, FIRST, LAST) + random_events(rng, OLD_EVENTS, OLD_FIRST, OLD_LAST)


def random_filter(rng: random.Random, events: list[LoggedEvent]) -> SearchFilter:
    """A range of a second to all days, often with an end at an hour, a minute, or an event's own time; some lie around
    1970, and some reach from there to these days.
    """
    width = timedelta(seconds=rng.choice([1, 30, 90, 3600, 3 * 3600, 86_400, 4 * 86_400]) * (0.5 + rng.random()))
    first, last = rng.choice([(FIRST, LAST)] * 4 + [(OLD_FIRST, OLD_LAST)])
    start = first + (last - first) * rng.random() - width / 2
    edge = rng.randrange(4)
    if edge == 0:
        start = start.replace(minute=0, second=0, microsecond=0)
    elif edge == 1:
        start = start.replace(second=0, microsecond=0)
    elif edge == 2:
        start = rng.choice(events).timestamp
    end = rng.choice([start + width, (start + width).replace(second=0, microsecond=0)])
    if rng.random() < 0.1:
        start = OLD_FIRST + (OLD_LAST - OLD_FIRST) * rng.random()
    severities = tuple(sorted(rng.sample(range(len(SEVERITIES)), rng.choice([0, 0, 1, 2]))))
    source = rng.choice([None, None, "source-0", "source-5", "source-9", "absent"])
    return SearchFilter(start, max(end, start + timedelta(microseconds=1)), severities, source)


async def plainly(connection: Connection, wanted: SearchFilter, columns: str, suffix: str = "") -> list[Any]:
    statement = (
        f"SELECT {columns} FROM logs WHERE ts >= $1 AND ts < $2 AND ($3::smallint[] = '{{}}' OR severity = ANY($3))"
        f" AND ($4::text IS NULL OR source = $4) {suffix}"
    )
    found = await connection.fetch(statement, wanted.start, wanted.end, list(wanted.severities), wanted.source)
    return list(found)


@asynccontextmanager
async def looking(pool: Pool) -> AsyncIterator[tuple[PostgresSnapshot, Sequence[Window]]]:
    """A session, and for which times there is an index by source."""
    async with pool.acquire() as reading:
        snapshot = PostgresSnapshot(reading)
        yield snapshot, await SourceIndexed(time.monotonic).windows(snapshot)


@pytest.mark.parametrize("indexed", [True, False])
async def test_totals_and_pages_equal_one_plain_query(connection: Connection, pool: Pool, indexed: bool) -> None:
    """Every way to a page finds the same."""
    rng = random.Random(20261124 + indexed)
    events = all_events(rng)
    await store_events(connection, events)
    async with looking(pool) as (snapshot, windows):
        assert [window.start.day for window in windows] == [21]
        await compare_pages(connection, snapshot, windows if indexed else (), rng, events)


async def compare_pages(
    connection: Connection,
    snapshot: PostgresSnapshot,
    indexed: Sequence[Window],
    rng: random.Random,
    events: list[LoggedEvent],
) -> None:
    for _ in range(200):
        wanted = random_filter(rng, events)
        limit, offset = rng.choice([1, 20, 100, 1000]), rng.choice([0, 0, 0, 5, 300])
        search = PageSearch("t", indexed, most_rows=rng.choice([50, 500, 200_000]))
        page = await find_page(snapshot, PageRequest(wanted, limit, offset), search)
        (count,) = await plainly(connection, wanted, "count(*)")
        assert page.total == count[0], wanted
        ids = await plainly(connection, wanted, "id", f"ORDER BY ts DESC, id DESC LIMIT {limit + 1} OFFSET {offset}")
        assert [event.id for event in page.events] == [row["id"] for row in ids[:limit]], (wanted, limit, offset)
        assert page.has_more == (len(ids) > limit), (wanted, limit, offset)


@pytest.mark.parametrize("indexed", [True, False])
async def test_pages_that_ended_early_go_on_where_they_ended(connection: Connection, pool: Pool, indexed: bool) -> None:
    """Each has looked at something more, so the last one comes."""
    rng = random.Random(3 + indexed)
    events = all_events(rng)
    await store_events(connection, events)
    async with looking(pool) as (snapshot, windows):
        early = 0
        for _ in range(40):
            wanted, found = random_filter(rng, events), list[UUID]()
            search = PageSearch("t", windows if indexed else (), most_rows=rng.choice([30, 300]), is_over=lambda: True)
            request = PageRequest(wanted, rng.choice([20, 1000]))
            while True:
                page = await find_page(snapshot, request, search)
                found += [event.id for event in page.events]
                early += page.scanned_until is not None
                if not page.has_more:
                    break
                below = (
                    (page.scanned_until, UUID(int=0))
                    if page.scanned_until
                    else (page.events[-1].timestamp, page.events[-1].id)
                )
                request = replace(request, cursor=Cursor(*below, None, None))
            ids = await plainly(connection, wanted, "id", "ORDER BY ts DESC, id DESC")
            assert found == [row["id"] for row in ids], wanted
        assert early > 20


async def test_rows_that_do_not_match_are_met_only_in_minutes_where_one_does(
    connection: Connection, pool: Pool
) -> None:
    """And none where an index by source leads to those that match."""
    rng = random.Random(1)
    for days in (1, 2):
        hour = FIRST + timedelta(days=days, hours=-4)
        crowd = random_events(rng, 500, hour, hour + timedelta(minutes=30))
        ours = [
            msgspec.structs.replace(event, source="ours")
            for event in random_events(rng, 4, hour + 35 * MINUTE, hour + HOUR)
        ]
        await store_events(connection, [*crowd, *ours])
        async with looking(pool) as (snapshot, windows):
            search = PageSearch("t", windows, most_rows=5, is_over=lambda: True)
            page = await find_page(snapshot, PageRequest(SearchFilter(hour, hour + HOUR, source="ours")), search)
        assert (len(page.events), page.scanned_until) == (4, None)


async def test_counts_equal_one_plain_query(connection: Connection, reader: PostgresReader) -> None:
    rng = random.Random(5)
    events = all_events(rng)
    await store_events(connection, events)
    for _ in range(100):
        wanted = random_filter(rng, events)
        counts = await reader.stats(wanted)
        by_severity = await plainly(connection, wanted, "severity, count(*) AS n", "GROUP BY severity")
        by_source = await plainly(connection, wanted, "source, count(*) AS n", "GROUP BY source")
        assert {name: n for name, n in counts.by_severity.items() if n} == {
            SEVERITIES[row["severity"]]: row["n"] for row in by_severity
        }, wanted
        assert dict(counts.by_source) == {row["source"]: row["n"] for row in by_source}, wanted
        assert counts.total == sum(row["n"] for row in by_source)


async def test_recent_events_equal_one_plain_query(connection: Connection, reader: PostgresReader) -> None:
    rng = random.Random(8)
    # Days, weeks, months and decades back.
    for days in (0, 5, 40, 200, 20_000):
        back = timedelta(days=days)
        await store_events(connection, random_events(rng, 300, FIRST - back, LAST - back))
    for _ in range(60):
        severities = tuple(sorted(rng.sample(range(len(SEVERITIES)), rng.choice([0, 1, 2]))))
        latest, limit = FIRST + (LAST - FIRST) * rng.random(), rng.choice([1, 50, 1000])
        page = await reader.recent(severities, latest, limit)
        wanted = SearchFilter(EARLIEST, latest + timedelta(microseconds=1), severities)
        ids = await plainly(connection, wanted, "id", f"ORDER BY ts DESC, id DESC LIMIT {limit}")
        assert [event.id for event in page.events] == [row["id"] for row in ids], (severities, latest, limit)


@pytest.mark.parametrize("source", [None, "source-1"])
async def test_pages_by_cursor_hold_everything_once_while_rows_come_in(
    stack: Stack, connection: Connection, reader: PostgresReader, source: str | None
) -> None:
    rng = random.Random(11)
    await store_events(connection, random_events(rng, 3000, FIRST, LAST))
    wanted = SearchFilter(FIRST - timedelta(hours=1), LAST + timedelta(hours=1), source=source)
    before = [row["id"] for row in await plainly(connection, wanted, "id", "ORDER BY ts DESC, id DESC")]

    async def keep_adding() -> None:
        adding = await asyncpg.connect(stack.postgres_dsn)
        try:
            while True:
                await store_events(adding, random_events(rng, 20, FIRST, LAST + timedelta(minutes=30)))
        finally:
            adding.terminate()

    added = asyncio.create_task(keep_adding())
    seen: list[LoggedEvent] = []
    request = PageRequest(wanted, 83)
    page = await reader.page(request)
    assert page.total is not None
    assert page.total >= len(before)
    first_total = page.total
    while True:
        seen += page.events
        assert page.total == first_total
        if not page.has_more:
            break
        last = page.events[-1]
        page = await reader.page(PageRequest(wanted, 83, cursor=Cursor(last.timestamp, last.id, page.total, None)))
    added.cancel()
    await asyncio.wait([added])
    keys = [(event.timestamp, event.id) for event in seen]
    assert keys == sorted(keys, reverse=True)
    assert len(set(keys)) == len(keys)
    assert set(before) <= {event.id for event in seen}


async def test_the_total_and_the_page_are_of_one_moment(
    stack: Stack, connection: Connection, reader: PostgresReader
) -> None:
    """Rows and counts are written together, so a page of everything has as many events as its total says."""
    rng = random.Random(3)
    wanted = SearchFilter(FIRST - timedelta(hours=1), LAST + timedelta(hours=1))

    async def add() -> None:
        adding = await asyncpg.connect(stack.postgres_dsn)
        for _ in range(90):
            await store_events(adding, random_events(rng, 10, FIRST, LAST))
        await adding.close()

    adding = asyncio.create_task(add())
    while not adding.done():
        page = await reader.page(PageRequest(wanted, 1000))
        assert page.total == len(page.events)
        source = await reader.page(PageRequest(SearchFilter(wanted.start, wanted.end, (), "source-0"), 1000))
        assert source.total == len(source.events)
    await adding
