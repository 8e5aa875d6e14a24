"""Word filters in PostgreSQL: they count what was stored, are joined beside readers, and go with their events."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from query_api.filter_language.parse import parse
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.search import PageRequest, SearchFilter
from stream_app.contract.word_filters import unpacked_bounds
from stream_app.filter_building import FilterBuilding
from stream_app.filter_joining import FilterJoining
from stream_app.postgres_store import PostgresStore
from stream_app.word_filters import by_turns
from tests.contract.stores import POISON
from tests.fakes.kafka_records import TOPIC, FakeRecord, chunk, event_json, record, window
from tests.servers import Stack

pytestmark = pytest.mark.integration

TEN = datetime(2026, 11, 24, 10, tzinfo=UTC)
NOON = TEN + timedelta(hours=2)
COUNTS = "SELECT count(*) AS n, count(*) FILTER (WHERE is_final) AS final FROM log_word_filters"


@pytest.fixture
async def store(stack: Stack) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(stack.postgres_of("stream"), TOPIC, "worker-1")
    yield made
    await made.close()


@pytest.fixture
async def reader(stack: Stack) -> AsyncIterator[PostgresReader]:
    made = PostgresReader(
        await connections(stack.postgres_of("query"), 20.0), TOPIC, ReaderMemory.empty(time.monotonic)
    )
    yield made
    await made.close(5.0)


def event(offset: int, rng: random.Random, word: str) -> FakeRecord:
    at = TEN + (NOON - TEN) * rng.random()
    return record(offset, message=f"word {word}", attributes={"w": f"a{word}"}, timestamp=at.isoformat())


async def store_window(store: PostgresStore, records: list[FakeRecord]) -> None:
    stored = await store.positions({0: 0})
    made = window([chunk(0, records)], stored)
    made.prepared.word_filters = await by_turns(made.prepared.rows)
    await store.write(made)


async def uncounted_hours(store: PostgresStore) -> Sequence[object]:
    """Hours whose filters are not of as many events as are stored in them."""
    return await store.fetch(
        "SELECT hour, sum(n) FROM (SELECT date_trunc('hour', last_ts) AS hour, events AS n FROM log_word_filters"
        " UNION ALL SELECT bucket, -n FROM log_count_hour) AS counts GROUP BY 1 HAVING sum(n) <> 0"
    )


async def found(reader: PostgresReader, text: str) -> list[str]:
    page = await reader.page(PageRequest(SearchFilter(TEN, NOON, expression=parse(text)), 1000))
    assert page.scanned_until is None
    return [event.message for event in page.events]


async def test_they_are_of_the_events_that_were_inserted(store: PostgresStore) -> None:
    rng = random.Random(1)
    once = [event(n, rng, str(n)) for n in range(700)]
    await store_window(store, once)
    assert await uncounted_hours(store) == []
    again = [replace(record, offset=700 + n) for n, record in enumerate(once[:300])]
    same_id = event_json(id="019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50", timestamp=TEN.isoformat(), message="twice")
    again += [FakeRecord(1000, same_id), FakeRecord(1001, same_id), FakeRecord(1002, POISON), event(1003, rng, "new")]
    await store_window(store, again)
    assert await uncounted_hours(store) == []


async def test_joined_ones_find_every_word_also_for_whoever_searches_meanwhile(
    store: PostgresStore, reader: PostgresReader
) -> None:
    rng = random.Random(2)
    offset = 0
    words: list[str] = []
    for _ in range(60):
        size = rng.choice([1, 5, 30, 450])
        window_words = [str(offset + n) for n in range(size)]
        await store_window(store, [event(offset + n, rng, word) for n, word in enumerate(window_words)])
        words += window_words
        offset += size
    asked = rng.sample(words, 40)
    before = (await store.fetch("SELECT count(*) AS n FROM log_word_filters"))[0]["n"]
    joining = FilterJoining(store, lambda: NOON + timedelta(hours=2))
    for word in asked[:20]:
        assert await found(reader, f"word {word}") == [f"word {word}"]
    while True:
        rows = await store.fetch(
            "SELECT count(*) AS n, count(*) FILTER (WHERE is_final) AS final FROM log_word_filters"
        )
        await joining.join()
        for word in rng.sample(asked, 5):
            assert await found(reader, f"w:a{word}") == [f"word {word}"]
        if (
            await store.fetch("SELECT count(*) AS n, count(*) FILTER (WHERE is_final) AS final FROM log_word_filters")
            == rows
        ):
            break
    assert rows[0]["n"] < before / 8
    assert await uncounted_hours(store) == []
    for word in asked:
        assert await found(reader, f"word {word}") == [f"word {word}"]
    assert await found(reader, "absent") == []
    price = await reader.price(SearchFilter(TEN, NOON, expression=parse("word absent")))
    assert price.to_read < offset / 50


async def test_their_form_in_the_table_is_that_of_the_contract(store: PostgresStore) -> None:
    rng = random.Random(3)
    await store_window(store, [event(n, rng, str(n)) for n in range(2000)])
    rows = await store.fetch(
        "SELECT f.*, (SELECT count(*) FROM logs WHERE ts BETWEEN first_ts AND last_ts) AS covered"
        " FROM log_word_filters AS f"
    )
    assert sum(row["events"] for row in rows) == 2000
    for row in rows:
        bounds = unpacked_bounds(row["bounds"])
        assert row["first_ts"] == datetime.fromtimestamp(bounds[0][0] / 1e6, UTC)
        assert row["last_ts"] == datetime.fromtimestamp(bounds[-1][1] / 1e6, UTC)
        assert row["first_ts"].hour == row["last_ts"].hour
        assert row["covered"] >= row["events"]


async def test_an_hour_with_events_that_no_filter_is_of_is_read(store: PostgresStore, reader: PostgresReader) -> None:
    rng = random.Random(4)
    await store_window(store, [event(n, rng, str(n)) for n in range(500)])
    stored = await store.positions({0: 0})
    await store.write(window([chunk(0, [event(500, rng, "late")])], stored))
    assert len(await uncounted_hours(store)) == 1
    assert await found(reader, "late") == ["word late"]
    assert await found(reader, "word 7") == ["word 7"]


async def test_hours_that_lack_filters_get_them_while_events_are_stored(
    store: PostgresStore, reader: PostgresReader, stack: Stack
) -> None:
    rng = random.Random(5)
    stored = await store.positions({0: 0})
    await store.write(window([chunk(0, [event(n, rng, str(n)) for n in range(900)])], stored))
    await store_window(store, [event(900 + n, rng, str(900 + n)) for n in range(100)])
    other = PostgresStore(stack.postgres_of("stream"), TOPIC, "maintain")
    building = FilterBuilding(other, lambda: NOON + timedelta(hours=2))
    made = asyncio.create_task(building.build(10))
    for start in range(1000, 1100, 10):
        await store_window(store, [event(start + n, rng, str(start + n)) for n in range(10)])
    assert await made == 2
    await other.close()
    assert await uncounted_hours(store) == []
    for word in ("3", "899", "950", "1099"):
        assert await found(reader, f"word {word}") == [f"word {word}"]
    price = await reader.price(SearchFilter(TEN, NOON, expression=parse("absent")))
    assert price.to_read == 0
