"""Rows of processes that are gone become one of their role, and whoever wakes up again is counted once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.reading import ProcessFigures
from stream_app import statements as sql
from stream_app.contract import STORED_EVENTS, STORED_PER_SECOND
from stream_app.postgres_store import PostgresStore
from stream_app.silent_processes import SilentProcesses
from tests.contract.stores import PostgresAdapter
from tests.fakes.kafka_records import TOPIC
from tests.integration.stream_app.conftest import Observer
from tests.servers import Stack

pytestmark = pytest.mark.integration
START = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
async def reader(stack: Stack) -> AsyncIterator[PostgresReader]:
    opened = await connections(stack.postgres_of("query"), 5.0)
    reader = PostgresReader(opened, TOPIC, ReaderMemory.empty(lambda: 0.0))
    yield reader
    await reader.close(5.0)


async def report(postgres: PostgresAdapter, process: str, stored: int, counts: list[int], rate: float = 5.0) -> None:
    counters = json.dumps({STORED_EVENTS: stored, "histogram": counts, STORED_PER_SECOND: rate})
    await postgres.store.execute(sql.REPORT_PROCESS, process, "stream", process[:-2], START, counters)


async def fall_silent(observer: Observer, *processes: str) -> None:
    await observer.execute(
        "UPDATE process_metrics SET updated_at = clock_timestamp() - interval '61 minutes' WHERE process = ANY($1)",
        list(processes),
    )


def sums(rows: list[ProcessFigures]) -> tuple[int, list[int]]:
    """The events and the histogram over all rows."""
    events = sum(int(str(row.counters.get(STORED_EVENTS, 0))) for row in rows)
    histograms = [row.counters["histogram"] for row in rows]
    return events, [sum(counts) for counts in zip(*histograms, strict=True)]


async def figures(reader: PostgresReader) -> list[ProcessFigures]:
    return list((await reader.figures())[1])


async def test_silent_rows_become_one_and_the_sums_stay(
    postgres: PostgresAdapter, observer: Observer, reader: PostgresReader
) -> None:
    for n in range(5):
        await report(postgres, f"stream-a-{n}", 10 + n, [n, 1])
    await reader.report("query-a-1", START, b'{"total_queries": 3}')
    before = sums([row for row in await figures(reader) if row.role == "stream"])
    await fall_silent(observer, "stream-a-0", "stream-a-1", "stream-a-2", "query-a-1")

    for _ in range(2):
        await SilentProcesses(postgres.store).fold()

    found = await figures(reader)
    assert {row.process for row in found} == {"stream", "query", "stream-a-3", "stream-a-4"}
    assert sums([row for row in found if row.role == "stream"]) == before == (60, [10, 5])
    assert [row.counters for row in found if row.role == "query"] == [{"total_queries": 3}]


async def test_many_silent_rows_are_folded_some_at_a_time(
    postgres: PostgresAdapter, observer: Observer, reader: PostgresReader
) -> None:
    """As an upgrade finds them."""
    await observer.execute(
        "INSERT INTO process_metrics (process, role, started_at, updated_at, counters)"
        " SELECT 'stream-a-' || n, 'stream', now(), to_timestamp(0), '{\"stored_events\": 1, \"histogram\": [1]}'"
        " FROM generate_series(1, 450) AS n"
    )
    for left in (251, 51, 1):
        await SilentProcesses(postgres.store).fold()
        found = await figures(reader)
        assert (len(found), sums(found)) == (left, (450, [450]))


async def test_a_process_that_wakes_up_is_counted_once_however_often_it_sleeps(
    postgres: PostgresAdapter, observer: Observer, reader: PostgresReader
) -> None:
    stored = 0
    for _ in range(3):
        stored += 100
        await report(postgres, "stream-a-1", stored, [stored, 1])
        assert sums(await figures(reader)) == (stored, [stored, 1])
        await fall_silent(observer, "stream-a-1")
        await SilentProcesses(postgres.store).fold()
        assert sums(await figures(reader)) == (stored, [stored, 1])

    await report(postgres, "stream-a-1", stored + 7, [stored + 7, 2], rate=9.0)

    found = await figures(reader)
    assert sums(found) == (stored + 7, [stored + 7, 2])
    (awake,) = (row for row in found if row.process == "stream-a-1")
    assert awake.counters[STORED_PER_SECOND] == 9.0


async def test_a_report_during_the_fold_waits_and_is_counted_once(
    postgres: PostgresAdapter, observer: Observer, reader: PostgresReader, stack: Stack
) -> None:
    await report(postgres, "stream-a-1", 100, [1])
    await fall_silent(observer, "stream-a-1")
    other = PostgresStore(stack.postgres_of("stream"), TOPIC, "other")

    await asyncio.gather(
        SilentProcesses(other).fold(), report(postgres, "stream-a-1", 150, [2]), SilentProcesses(other).fold()
    )

    assert sums(await figures(reader)) == (150, [2])
    await other.close()


async def test_what_was_folded_is_forgotten_only_when_nothing_needs_it(
    postgres: PostgresAdapter, observer: Observer, reader: PostgresReader
) -> None:
    for process in ("stream-a-1", "stream-a-2"):
        await report(postgres, process, 10, [1])
    await fall_silent(observer, "stream-a-1", "stream-a-2")
    await SilentProcesses(postgres.store).fold()
    await report(postgres, "stream-a-1", 12, [1])
    await observer.execute("UPDATE process_metrics_folded SET folded_at = folded_at - interval '31 days'")

    await SilentProcesses(postgres.store).fold()

    assert await observer.fetchval("SELECT array_agg(process) FROM process_metrics_folded") == ["stream-a-1"]
    assert sums(await figures(reader)) == (22, [2])


async def test_one_worker_folds_at_a_time(postgres: PostgresAdapter, observer: Observer) -> None:
    await report(postgres, "stream-a-1", 10, [1])
    await fall_silent(observer, "stream-a-1")
    async with observer.transaction():
        await observer.execute("SELECT pg_advisory_xact_lock($1)", 0x7468_7265_6176)
        await SilentProcesses(postgres.store).fold()
        assert await observer.fetchval("SELECT count(*) FROM process_metrics_folded") == 0


async def test_a_worker_is_told_from_one_whose_name_goes_on(postgres: PostgresAdapter, reader: PostgresReader) -> None:
    """`stream-a-1` is gone; `stream-a-1-5` lives."""
    await postgres.positions({0: 0})
    await postgres.store.execute("UPDATE consumer_offsets SET worker = 'stream-a-1', updated_at = to_timestamp(0)")
    await postgres.store.execute(sql.REPORT_PROCESS, "stream-a-1-5-1764", "stream", "stream-a-1-5", START, "{}")

    (position,) = await reader.positions()
    assert position.silent_s > 1000

    await postgres.store.execute(sql.REPORT_PROCESS, "stream-a-1-1764", "stream", "stream-a-1", START, "{}")
    (position,) = await reader.positions()
    assert position.silent_s < 60
