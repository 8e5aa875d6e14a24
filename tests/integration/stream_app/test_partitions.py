"""Day partitions on PostgreSQL: made, filled from the default one, indexed when they close."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest

from stream_app.partitions import _ADVISORY_LOCK, DayPartitions
from stream_app.postgres_store import PostgresStore
from tests.contract.stores import (
    PostgresAdapter,
    client_event,
    write,
)
from tests.fakes.kafka_records import TOPIC, record
from tests.servers import Stack

Observer: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Day partitions.

TODAY = datetime(2026, 11, 24, 10, tzinfo=UTC)


def days_of(postgres: PostgresAdapter, now: datetime) -> DayPartitions:
    return DayPartitions(postgres.store, 30, 2, lambda: now)


async def tables_of(postgres: PostgresAdapter) -> list[str]:
    found = await postgres.store.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM logs ORDER BY 1")
    return [row["name"] for row in found]


def day(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).days


@pytest.mark.integration
async def test_rows_of_a_day_with_a_partition_stand_in_it(postgres: PostgresAdapter) -> None:
    await days_of(postgres, TODAY).ensure({day(TODAY), day(TODAY) - 1, day(TODAY) - 31})
    await write(
        postgres,
        record(0, timestamp="2026-11-23T23:59:59.999999Z"),
        record(1, timestamp="2026-11-24T00:00:00Z"),
        record(2, timestamp="1999-01-01T00:00:00Z"),
    )

    assert await tables_of(postgres) == ["logs_20261123", "logs_20261124", "logs_default"]


@pytest.mark.integration
async def test_rows_in_the_default_partition_move_when_their_day_gets_its_own(postgres: PostgresAdapter) -> None:
    await write(
        postgres, record(0), record(1, timestamp="2026-11-28T00:00:00Z"), record(2, timestamp="1999-01-01T00:00:00Z")
    )
    before = await postgres.rows()

    await days_of(postgres, TODAY + timedelta(days=3)).ensure({day(TODAY), day(TODAY) + 4})

    assert await tables_of(postgres) == ["logs_20261124", "logs_20261128", "logs_default"]
    assert await postgres.rows() == before


@pytest.mark.integration
async def test_a_duplicate_of_a_row_that_moved_is_still_one(postgres: PostgresAdapter) -> None:
    await write(postgres, client_event(0, "first"))
    await days_of(postgres, TODAY).ensure({day(TODAY)})

    assert (await write(postgres, client_event(1, "second"))).duplicates == 1


@pytest.mark.integration
async def test_two_workers_may_make_the_same_partition_at_once(postgres: PostgresAdapter, stack: Stack) -> None:
    other = PostgresStore(stack.settings.postgres, TOPIC, "worker-2")
    wanted = {day(TODAY) - n for n in range(4)}

    await asyncio.gather(
        days_of(postgres, TODAY).ensure(wanted), DayPartitions(other, 30, 2, lambda: TODAY).ensure(wanted)
    )

    found = await postgres.store.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'logs'::regclass"
    )
    assert len(found) == 5
    await other.close()


async def source_indexes(postgres: PostgresAdapter) -> list[str]:
    found = await postgres.store.fetch("SELECT tablename FROM pg_indexes WHERE indexname ~ '_source_ts$' ORDER BY 1")
    return [row["tablename"] for row in found]


@pytest.mark.integration
async def test_a_partition_gets_its_source_index_once_its_day_has_been_over_for_an_hour(
    postgres: PostgresAdapter,
) -> None:
    await days_of(postgres, TODAY).ensure({day(TODAY), day(TODAY) - 1})
    await days_of(postgres, datetime(2026, 11, 24, 0, 59, tzinfo=UTC)).index_closed()
    assert await source_indexes(postgres) == []

    for _ in range(2):
        await days_of(postgres, datetime(2026, 11, 24, 1, 1, tzinfo=UTC)).index_closed()

    assert await source_indexes(postgres) == ["logs_20261123"]


@pytest.mark.integration
async def test_only_one_worker_at_a_time_indexes(postgres: PostgresAdapter, observer: Observer) -> None:
    await days_of(postgres, TODAY).ensure({day(TODAY) - 1})
    await observer.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK + 1)
    await days_of(postgres, TODAY).index_closed()
    assert await source_indexes(postgres) == []
    await observer.execute("SELECT pg_advisory_unlock_all()")
    await days_of(postgres, TODAY).index_closed()

    assert await source_indexes(postgres) == ["logs_20261123"]


@pytest.mark.integration
async def test_an_index_whose_build_was_cut_off_is_built_anew(postgres: PostgresAdapter, observer: Observer) -> None:
    await days_of(postgres, TODAY).ensure({day(TODAY) - 1})
    await days_of(postgres, TODAY).index_closed()
    superuser = await asyncpg.connect(
        host="127.0.0.1",
        port=postgres.store._settings.port,
        user="postgres",
        database=postgres.store._settings.database,
    )
    await superuser.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'logs_20261123_source_ts'::regclass"
    )
    await superuser.close()

    await days_of(postgres, TODAY).index_closed()

    assert await observer.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'logs_20261123_source_ts'::regclass"
    )
