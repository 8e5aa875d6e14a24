"""Row F2: days past their retention are dropped while events are stored and queries asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg
import pytest

from query_api.routes import QUERY_PATH
from stream_app.partitions import DayPartitions, days_since_1970
from stream_app.postgres_store import PostgresStore
from tests.e2e.agreement import eventually
from tests.e2e.fleet import Fleet
from tests.fakes.kafka_records import TOPIC, chunk, record, window
from tests.faults.intensity import Intensity, row, struck
from tests.faults.under_load import Run, under_load
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
# Some events of the load are up to three days old: they are to stay.
DAYS_BACK, KEPT_DAYS = 4, 5
EVENTS_A_DAY = 20_000
# The lock of a drop is waited for 1 s at most; the rest is this machine's.
ANSWERED_WITHIN_S = 5.0
_OLD = "SELECT count(*) FROM pg_class WHERE relname ~ '^logs_[0-9]{8}$' AND right(relname, 8) < $1"


async def store_old_days(stack: Stack, days: int) -> None:
    """Full days just past the retention, as workers stored them when they were new."""
    store = PostgresStore(stack.settings.postgres, TOPIC, "before")
    now = datetime.now(UTC)
    partitions = DayPartitions(store, KEPT_DAYS + days + 1, 1, lambda: now)
    for number in range(days):
        day = now - timedelta(days=KEPT_DAYS + 1 + number)
        await partitions.ensure({days_since_1970(day)})
        # Over the whole day: one event every few seconds.
        start = day.replace(hour=0, minute=0, second=0, microsecond=0)
        spread = [start + timedelta(seconds=n * 86_400 / EVENTS_A_DAY) for n in range(EVENTS_A_DAY)]
        first = number * EVENTS_A_DAY
        stored = await store.positions({0: 0})
        records = [record(first + n, timestamp=t.isoformat(), source=f"old-{n % 50}") for n, t in enumerate(spread)]
        await store.write(window([chunk(0, records)], stored))
    await store.close()


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[list[tuple[int, float]]]:
    """Asks for pages and counts all the while; gives status and seconds of each answer."""
    answers: list[tuple[int, float]] = []

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for n in range(1_000_000):
                started = time.monotonic()
                # No two are equal, so that none comes from the cache.
                now = datetime.now(UTC)
                start, end = (f"{t:%Y-%m-%dT%H:%M:%S.%fZ}" for t in (now - timedelta(days=99, microseconds=n), now))
                asked = {"start_time": start, "end_time": end, "limit": "5"}
                async with session.get(f"{url}{QUERY_PATH}", params=asked) as answer:
                    await answer.read()
                    answers.append((answer.status, time.monotonic() - started))
                await asyncio.sleep(0.02)

    task = asyncio.create_task(ask())
    try:
        yield answers
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@row("F2")
async def test_days_past_their_retention_go_while_events_are_stored_and_queries_asked(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    days = intensity.pick(3, 30)
    variables = {
        "THREATLOG_STORAGE_PARTITION_DAYS_BACK": str(DAYS_BACK),
        "THREATLOG_STORAGE_RETENTION_DAYS": str(KEPT_DAYS),
    }
    stack = replace(stack, environment=stack.with_environment(**variables))
    await store_old_days(stack, days)
    fleet = Fleet(stack, spawn, queries=1)
    connection = await asyncpg.connect(stack.postgres_dsn)
    oldest_kept = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).strftime("%Y%m%d")
    struck(await connection.fetchval(_OLD, oldest_kept) == days, "the old days were not there")

    async def left() -> str:
        found = await connection.fetchval(_OLD, oldest_kept)
        return f"{found} old days are still there" if found else ""

    async def faults(run: Run) -> None:
        async with asking(fleet.query_url) as answers:
            await run.grown(200)
            spawn("maintain", ["-m", "threatlog", "maintain"], stack.environment)
            await eventually(left, 240.0, "the old days go")
            await run.grown(500)
        assert {status for status, _ in answers} == {200}
        slowest_s = max(seconds for _, seconds in answers)
        assert slowest_s < ANSWERED_WITHIN_S
        intensity.saw(f"{days} days dropped; {len(answers)} queries, the slowest {slowest_s:.2f} s")

    await under_load(stack, spawn, faults, seed=intensity.seed, fleet=fleet)
    dropped = await connection.fetch("SELECT events FROM retention_drops")
    assert [drop["events"] for drop in dropped] == [EVENTS_A_DAY] * days
    await connection.close()
