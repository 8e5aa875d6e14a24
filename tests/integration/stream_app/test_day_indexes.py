"""Day partitions on PostgreSQL get their index when they close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import pytest

from stream_app.day_indexes import DayIndexes
from stream_app.partitions import ADVISORY_LOCK, DayPartitions, days_since_1970
from stream_app.postgres_store import PostgresStore
from tests.contract.stores import PostgresAdapter, write
from tests.fakes.kafka_records import TOPIC, record
from tests.integration.stream_app.conftest import until_one_waits
from tests.servers import Stack

pytestmark = pytest.mark.integration
Observer: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TODAY = datetime(2026, 11, 24, 10, tzinfo=UTC)
TODAY_NUMBER = days_since_1970(TODAY)


@pytest.fixture
async def postgres(stack: Stack) -> AsyncIterator[PostgresStore]:
    """As the owner of the tables."""
    store = PostgresStore(stack.settings.postgres, TOPIC, "index")
    yield store
    await store.close()


def partitions_of(postgres: PostgresStore) -> DayPartitions:
    return DayPartitions(postgres, 30, 2, lambda: TODAY)


def indexes_of(postgres: PostgresStore, now: datetime) -> DayIndexes:
    return DayIndexes(postgres, lambda: now)


async def source_indexes(postgres: PostgresStore) -> list[str]:
    found = await postgres.fetch("SELECT tablename FROM pg_indexes WHERE indexname ~ '_source_ts$' ORDER BY 1")
    return [row["tablename"] for row in found]


async def test_a_partition_gets_its_source_index_once_its_day_has_been_over_for_an_hour(
    postgres: PostgresStore,
) -> None:
    await partitions_of(postgres).ensure({TODAY_NUMBER, TODAY_NUMBER - 1})
    await indexes_of(postgres, datetime(2026, 11, 24, 0, 59, tzinfo=UTC)).build()
    assert await source_indexes(postgres) == []

    for _ in range(2):
        await indexes_of(postgres, datetime(2026, 11, 24, 1, 1, tzinfo=UTC)).build()

    assert await source_indexes(postgres) == ["logs_20261123"]


async def test_only_one_process_at_a_time_indexes(postgres: PostgresStore, observer: Observer) -> None:
    await partitions_of(postgres).ensure({TODAY_NUMBER - 1})
    await observer.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK + 1)
    await indexes_of(postgres, TODAY).build()
    assert await source_indexes(postgres) == []
    await observer.execute("SELECT pg_advisory_unlock_all()")
    await indexes_of(postgres, TODAY).build()

    assert await source_indexes(postgres) == ["logs_20261123"]


async def test_an_index_whose_build_was_cut_off_is_built_anew(
    postgres: PostgresStore, observer: Observer, stack: Stack
) -> None:
    await partitions_of(postgres).ensure({TODAY_NUMBER - 1})
    await indexes_of(postgres, TODAY).build()
    superuser = await asyncpg.connect(
        host="127.0.0.1",
        port=postgres._settings.port,
        user="postgres",
        database=postgres._settings.database,
    )
    await superuser.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'logs_20261123_source_ts'::regclass"
    )
    await superuser.close()

    slow, worker = PostgresStore(stack.settings.postgres, TOPIC, "index-2"), PostgresAdapter(stack)
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        building = asyncio.create_task(DayIndexes(slow, lambda: TODAY).build())
        await until_one_waits(postgres)
        # A window does not queue behind the drop, which waits for the reader.
        async with asyncio.timeout(5):
            await write(worker, record(0, timestamp="2026-11-23T10:00:00Z"))
    await building
    await slow.close()
    await worker.store.close()

    assert await observer.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'logs_20261123_source_ts'::regclass"
    )
