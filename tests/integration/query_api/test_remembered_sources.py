"""Counts by source, partly remembered, against plain queries, while events come late and old ones are removed."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from ingest_gateway.contract import SEVERITIES
from query_api.aggregation import TopRequest
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.scan import DEFAULT_POLICY
from query_api.search import SearchFilter
from stream_app.postgres_store import PostgresStore
from stream_app.retention import Retention
from tests.processes import eventually
from tests.servers import Stack
from tests.stored_events import random_events, store_events, store_positions

pytestmark = pytest.mark.integration
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
FIRST = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LAST = FIRST + timedelta(days=3, hours=9)
NOW = LAST - timedelta(minutes=20)
KEPT_DAYS = 40


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(stack.postgres_dsn)
    await store_positions(connection, stack.settings.kafka.topic, {0: LAST})
    yield connection
    await connection.close()


@pytest.fixture
async def reader(stack: Stack) -> AsyncIterator[PostgresReader]:
    made = await connections(stack.postgres_of("query"), 20.0)
    memory = ReaderMemory.empty(time.monotonic)
    reader = PostgresReader(made, stack.settings.kafka.topic, memory, DEFAULT_POLICY, lambda: NOW)
    yield reader
    await reader.close(5.0)


async def remove_all_received(stack: Stack, before: datetime) -> None:
    """By retention; all is in the default partition."""
    owner = PostgresStore(stack.settings.postgres, "t", "owner")
    await Retention(owner, KEPT_DAYS, lambda: before + timedelta(days=KEPT_DAYS)).enforce()
    await owner.close()


def some_ranges(rng: random.Random) -> list[tuple[datetime, datetime]]:
    """All of it, three days, one that ends now, and a random one."""
    start = FIRST + (LAST - FIRST) * rng.random()
    return [
        (FIRST - timedelta(days=1), LAST + timedelta(days=1)),
        (datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)),
        (FIRST, NOW),
        (start, start + timedelta(hours=rng.choice([1, 5, 30]) * (0.5 + rng.random()))),
    ]


async def test_counts_by_source_are_those_of_the_rows_whatever_is_remembered(
    stack: Stack, connection: Connection, reader: PostgresReader
) -> None:
    rng = random.Random(20261129)
    await store_events(connection, random_events(rng, 3000, FIRST, LAST))
    for turn in range(12):
        if turn % 3 == 2:
            await store_events(connection, random_events(rng, 5, FIRST, LAST))
        if turn % 4 == 3:
            await remove_all_received(stack, datetime(2026, 11, 21 + turn // 4, tzinfo=UTC))
        for start, end in some_ranges(rng):
            for severities in ((), (1, 3)):
                await compare(connection, reader, SearchFilter(start, end, severities))


async def compare(connection: Connection, reader: PostgresReader, wanted: SearchFilter) -> None:
    counts = await reader.stats(wanted)
    top = await reader.top(TopRequest(wanted, "source", 3))
    found = await connection.fetch(
        "SELECT source, count(*) AS n FROM logs WHERE ts >= $1 AND ts < $2 AND severity = ANY($3) GROUP BY 1"
        " ORDER BY n DESC, source",
        wanted.start,
        wanted.end,
        list(wanted.severities or range(len(SEVERITIES))),
    )
    plain = {row["source"]: row["n"] for row in found}
    assert dict(counts.by_source) == plain
    assert list(top.values) == list(plain.items())[:3]
    total = sum(plain.values())
    assert counts.total == sum(counts.by_severity.values()) == top.total == total
    assert counts.sources == top.distinct == len(plain)


async def test_one_removed_and_another_stored_in_the_same_hour_are_noticed(
    stack: Stack, connection: Connection, reader: PostgresReader
) -> None:
    """As many events as before, and yet other ones."""
    rng = random.Random(5)
    hour = FIRST + timedelta(hours=1)
    wanted = SearchFilter(hour, hour + timedelta(hours=1))
    await store_events(connection, random_events(rng, 30, hour, hour + timedelta(minutes=50)))
    for _ in range(3):
        await compare(connection, reader, wanted)
    await remove_all_received(stack, datetime(2026, 11, 21, tzinfo=UTC) + timedelta(days=1))
    await store_events(connection, random_events(rng, 30, hour, hour + timedelta(minutes=50)))
    for _ in range(3):
        await compare(connection, reader, wanted)


async def test_the_last_week_is_learned_though_nobody_asked(
    stack: Stack, connection: Connection, reader: PostgresReader
) -> None:
    rng = random.Random(7)
    await store_events(connection, random_events(rng, 300, FIRST, NOW))
    await reader.learning.ahead()
    await finished(reader)
    wanted = SearchFilter(NOW - timedelta(days=7), NOW)
    await compare(connection, reader, wanted)
    # The same again, with an event that came late meanwhile.
    await store_events(connection, random_events(rng, 1, FIRST, LAST))
    await reader.learning.ahead()
    await finished(reader)
    await compare(connection, reader, wanted)


async def finished(reader: PostgresReader) -> None:
    async def is_over() -> bool:
        return not reader.learning.is_under_way

    await eventually(is_over, "all is learned")


async def test_where_postgresql_does_not_answer_nothing_is_learned_and_nothing_raised(stack: Stack) -> None:
    settings = stack.postgres_of("query").model_copy(update={"port": 9})
    reader = PostgresReader(await connections(settings, 2.0), "t", ReaderMemory.empty(time.monotonic))
    await reader.learning.ahead()
    assert not reader.learning.is_under_way
    await reader.close(5.0)
