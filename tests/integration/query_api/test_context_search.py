"""The events around one where many others lie between: what was found is the nearest, and what was not is said."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import asyncpg
import pytest

from query_api.context_search import FoundSide, Pace, find_side
from query_api.context_sql import Side
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.postgres_sessions import PostgresSnapshot, open_pool
from query_api.reading import LoggedEvent
from query_api.scan import ScanPolicy
from query_api.source_indexed import SourceIndexed
from tests.servers import Stack
from tests.stored_events import make_day, random_events, store_events, store_positions

pytestmark = pytest.mark.integration
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
FIRST = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LAST = FIRST + timedelta(days=1, hours=9)


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(stack.postgres_dsn)
    await make_day(connection, FIRST + timedelta(days=1), closed=True)
    await store_positions(connection, stack.settings.kafka.topic, {0: LAST})
    yield connection
    await connection.close()


def around(events: list[LoggedEvent], side: Side) -> list[LoggedEvent]:
    """All events of the source on that side, the nearest first."""
    key = side.ts, side.id
    of_source = sorted((e.timestamp, e.id, e) for e in events if e.source == side.source)
    if side.is_before:
        return [event for ts, identifier, event in reversed(of_source) if (ts, identifier) < key]
    return [event for ts, identifier, event in of_source if (ts, identifier) > key]


def over_after(looks: int) -> Callable[[], bool]:
    """Says yes from that look at the clock on."""
    looked = count()
    return lambda: next(looked) >= looks


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("slice_rows", [3, 40, 100_000])
async def test_what_was_found_in_time_is_the_nearest(
    stack: Stack, connection: Connection, indexed: bool, slice_rows: int
) -> None:
    rng = random.Random(slice_rows)
    events = random_events(rng, 2500, FIRST, LAST)
    await store_events(connection, events)
    pool = await open_pool(stack.postgres_of("query"), 20.0, 2)
    async with pool.acquire() as reading:
        snapshot = PostgresSnapshot(reading)
        windows = await SourceIndexed(time.monotonic).windows(snapshot) if indexed else ()
        for _ in range(60):
            event, limit = rng.choice(events), rng.choice([1, 10, 100])
            side = Side(event.source, event.timestamp, event.id, limit, rng.random() < 0.5)
            pace = Pace(over_after(rng.choice([0, 2, 1000])), slice_rows)
            assert_nearest(await find_side(snapshot, side, windows, pace), events, side)
    await pool.close()


def assert_nearest(found: FoundSide, events: list[LoggedEvent], side: Side) -> None:
    expected = around(events, side)[: side.limit]
    unseen_from = found.unseen_from
    if unseen_from is not None:
        expected = [e for e in expected if (e.timestamp >= unseen_from) == side.is_before]
    assert [e.id for e in found.events] == [e.id for e in (expected[::-1] if side.is_before else expected)]


async def test_the_reader_says_from_where_to_where_it_looked(stack: Stack, connection: Connection) -> None:
    """The first slice is looked at also where there is no time at all."""
    rng = random.Random(7)
    events = random_events(rng, 2500, FIRST, FIRST + timedelta(hours=2))
    await store_events(connection, events)
    middle = sorted(events, key=lambda event: event.timestamp)[1250]
    reading = await connections(stack.postgres_of("query"), 20.0)
    reader = PostgresReader(reading, "t", ReaderMemory.empty(time.monotonic), ScanPolicy(20.0, 20.0))
    context = await reader.context(middle, 100, 100)
    await reader.close(5.0)
    assert (context.scanned_since, context.scanned_until) == (None, None)
    assert [len(context.before), len(context.after)] == [
        min(len(around(events, Side(middle.source, middle.timestamp, middle.id, 100, is_before))), 100)
        for is_before in (True, False)
    ]
