"""Fields and values of events where time, memory or the planner of PostgreSQL set bounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import msgspec
import pytest

from query_api import aggregation_sql, fields_sql, scan_sql
from query_api.aggregation import HistogramRequest, TopRequest
from query_api.attribute_names import MOST_NAMES
from query_api.fields import FacetsRequest, FieldsRequest
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.parse import parse
from query_api.postgres_pools import connections
from query_api.search import SearchFilter
from query_api.timeline import MINUTE, Window
from tests.fakes.memory_reader import MemoryReader
from tests.integration.query_api.test_filtered_search import HASTY, PATIENT, Readers, told
from tests.servers import Stack
from tests.stored_events import random_events, store_events

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

pytestmark = pytest.mark.integration

FIRST = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LAST = FIRST + timedelta(hours=30)
WANTED = SearchFilter(FIRST, LAST)
USER, N = Attribute(("user",)), Attribute(("n",))


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(stack.postgres_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def readers(stack: Stack) -> AsyncIterator[Readers]:
    made = Readers(stack)
    yield made
    await made.close()


@pytest.mark.parametrize("text", ["", "failed OR user:root"])
async def test_what_took_too_long_is_exact_down_to_where_it_came(
    connection: Connection, readers: Readers, text: str
) -> None:
    rng = random.Random(11)
    events = [told(rng, event) for event in random_events(rng, 6000, FIRST, LAST)]
    await store_events(connection, events)
    plain = MemoryReader(events)
    wanted = SearchFilter(FIRST, LAST, expression=parse(text))
    for policy in (HASTY, PATIENT):
        reader = await readers.reader(policy)
        fields = await reader.fields(FieldsRequest(wanted))
        facets = await reader.facets(FacetsRequest(wanted, ("source", USER, N), values=500))
        assert (fields.looked.scanned_until is None) == (policy is PATIENT)
        seen = SearchFilter(fields.looked.scanned_until or FIRST, LAST, expression=wanted.expression)
        expected = await plain.fields(FieldsRequest(seen))
        assert fields.names == expected.names
        assert fields.looked.events == expected.total
        assert fields.is_exact
        # Of a filter of counts all are counted, wherever the search ended.
        assert fields.total == (len(events) if not text else expected.total if policy is PATIENT else None)
        seen = SearchFilter(facets.looked.scanned_until or FIRST, LAST, expression=wanted.expression)
        by_source, *others = (await plain.facets(FacetsRequest(seen, ("source", USER, N), values=500))).facets
        assert [(facet.events, facet.values) for facet in facets.facets[1:]] == [(f.events, f.values) for f in others]
        if text:
            assert facets.facets[0].values == by_source.values
        else:
            assert (facets.facets[0].events, facets.facets[0].scanned_until) == (len(events), None)


async def test_a_flood_of_names_and_values_is_bounded_and_others_have_their_turn(
    connection: Connection, readers: Readers
) -> None:
    rng = random.Random(12)
    events = []
    for number, event in enumerate(random_events(rng, 600, FIRST, LAST)):
        flood = {f"{number}-{n}": "v" * rng.randrange(900) for n in range(100)}
        raw = msgspec.Raw(msgspec.json.encode({"often": number % 3, "each": f"{number}", **flood}))
        events.append(msgspec.structs.replace(event, attributes=raw))
    await store_events(connection, events)
    reader = await readers.reader(PATIENT)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    fields = await reader.fields(FieldsRequest(WANTED))
    other.cancel()
    assert turns > 500
    assert len(fields.names) <= MOST_NAMES
    assert not fields.is_exact
    (often,) = (name for name in fields.names if name.attribute.path == ("often",))
    assert 600 - fields.undercount_at_most <= often.events <= 600
    (facet,) = (await reader.facets(FacetsRequest(WANTED, (Attribute(("often",)),)))).facets
    assert (sum(n for _, n in facet.values), facet.is_exact) == (600, True)


async def test_top_says_how_many_it_has_forgotten(connection: Connection, readers: Readers) -> None:
    """More values in one slice than are brought here, and one that is too long."""
    rng = random.Random(13)
    events = []
    for number, event in enumerate(random_events(rng, 300, FIRST, FIRST + timedelta(minutes=1))):
        values = [f"{number}-{n}" for n in range(100)] + ["often", "long" * 1_000]
        events.append(msgspec.structs.replace(event, attributes=msgspec.Raw(msgspec.json.encode({"v": values}))))
    await store_events(connection, events)
    found = await (await readers.reader(PATIENT)).top(TopRequest(WANTED, Attribute(("v",)), 1000))
    assert found.values[0] == ("often", 300)
    assert (found.total, found.is_exact) == (300 * 102, False)
    assert found.forgotten >= 10_300
    assert found.undercount_at_most == 1
    assert found.distinct < 20_000


async def test_each_window_is_one_visit_of_the_index(connection: Connection) -> None:
    """Joined freely, PostgreSQL reads all partitions for many windows, and compares each row with each window."""
    rng = random.Random(14)
    await store_events(connection, random_events(rng, 3000, FIRST, LAST))
    await connection.execute("ANALYZE logs")
    windows = [Window(LAST - (n + 1) * MINUTE, LAST - n * MINUTE) for n in range(300)]
    failed = SearchFilter(FIRST, LAST, expression=parse("failed"))
    for statement in (
        scan_sql.counts_within(failed, windows),
        aggregation_sql.top_within(WANTED, USER, windows, 1000),
        aggregation_sql.histogram_within(HistogramRequest(failed, MINUTE, "severity"), windows),
        fields_sql.attributes_within(WANTED, windows, 1000),
    ):
        plan = await connection.fetch(f"EXPLAIN {statement.text}", *statement.arguments)
        text = "\n".join(row[0] for row in plan)
        assert "Index Cond: ((ts >= w.a) AND (ts < w.z))" in text, text
        assert "Seq Scan on logs" not in text, text


async def test_rows_come_a_few_at_a_time(stack: Stack, connection: Connection) -> None:
    await store_events(connection, random_events(random.Random(15), 700, FIRST, LAST))
    made = await connections(stack.postgres_of("query"), 5.0)
    statement = fields_sql.attributes_within(WANTED, [Window(FIRST, LAST)], 1000)
    async with made.queries.snapshot() as snapshot:
        sizes = [len(rows) async for rows in snapshot.portions(statement, 256)]
        async with aclosing(snapshot.portions(statement, 10)) as portions:
            assert len(await anext(portions)) == 10
        assert len(await snapshot.fetch(statement)) == 700
    assert sizes == [256, 256, 188]
    await made.close(5.0)
