"""Day partitions on PostgreSQL: made, filled from the default one, indexed when they close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

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

    days = days_of(postgres, TODAY + timedelta(days=3))
    await days.ensure({day(TODAY), day(TODAY) + 4})
    assert set(days.put_off()) == {day(TODAY), day(TODAY) + 4}
    assert await tables_of(postgres) == ["logs_default"]
    await days.make_of_default()

    assert await tables_of(postgres) == ["logs_20261124", "logs_20261128", "logs_default"]
    assert await postgres.rows() == before


@pytest.mark.integration
async def test_a_duplicate_of_a_row_that_moved_is_still_one(postgres: PostgresAdapter) -> None:
    await write(postgres, client_event(0, "first"))
    await days_of(postgres, TODAY).ensure({day(TODAY)})

    assert (await write(postgres, client_event(1, "second"))).duplicates == 1


@pytest.mark.integration
async def test_a_window_does_not_wait_for_a_reader_of_the_default_partition(
    postgres: PostgresAdapter, observer: Observer
) -> None:
    days = days_of(postgres, TODAY)
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        await days.ensure({day(TODAY)})
        assert set(days.put_off()) == {day(TODAY)}
        await write(postgres, record(0))
        # Upkeep waits for five seconds, and has other work to do.
        await days.make_of_default()
        assert await tables_of(postgres) == ["logs_default"]

    await days.make_of_default()
    await write(postgres, record(1))

    assert await tables_of(postgres) == ["logs_20261124"]
    assert len(await postgres.rows()) == 2


@pytest.mark.integration
async def test_a_day_that_was_put_off_is_tried_again_a_minute_later(
    postgres: PostgresAdapter, observer: Observer
) -> None:
    now = TODAY
    days = DayPartitions(postgres.store, 30, 2, lambda: now)
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        await days.ensure({day(TODAY)})
    await days.ensure({day(TODAY)})
    assert set(days.put_off()) == {day(TODAY)}

    now += timedelta(minutes=1)
    await days.ensure({day(TODAY)})

    assert not days.put_off()
    await write(postgres, record(0))
    assert await tables_of(postgres) == ["logs_20261124"]


class AfterTheMove:
    """A store's connection that lets something happen after the first rows have moved."""

    def __init__(self, store: PostgresStore, happens: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._happens: Callable[[], Awaitable[object]] | None = happens
        self._connection: Observer | None = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AfterTheMove]:
        async with self._store.session() as self._connection:
            yield self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: str, *arguments: Any, **options: Any) -> str:
        assert self._connection is not None
        answer = await self._connection.execute(statement, *arguments, **options)
        if "DELETE FROM logs_default" in statement and self._happens:
            happens, self._happens = self._happens, None
            await happens()
        return answer


@pytest.mark.integration
async def test_a_row_that_comes_while_its_day_is_filled_neither_waits_nor_is_lost(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    await write(postgres, record(0), record(1))
    seen = []

    async def another_comes() -> None:
        seen.append(await observer.fetchval("SELECT count(*) FROM logs"))
        await write(postgres, record(2))
        seen.append(await observer.fetchval("SELECT count(*) FROM logs"))

    slow = PostgresStore(stack.settings.postgres, TOPIC, "worker-2")
    async with asyncio.timeout(20):
        await DayPartitions(AfterTheMove(slow, another_comes), 30, 2, lambda: TODAY).make_of_default()

    assert seen == [2, 3]
    assert await tables_of(postgres) == ["logs_20261124"]
    assert len(await postgres.rows()) == 3
    await slow.close()


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


async def until_one_waits(postgres: PostgresAdapter) -> None:
    async with asyncio.timeout(20):
        while True:
            if await postgres.store.fetch("SELECT FROM pg_locks WHERE NOT granted"):
                return
            await asyncio.sleep(0.02)


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
async def test_an_index_whose_build_was_cut_off_is_built_anew(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
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

    slow = PostgresStore(stack.settings.postgres, TOPIC, "worker-2")
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        building = asyncio.create_task(DayPartitions(slow, 30, 2, lambda: TODAY).index_closed())
        await until_one_waits(postgres)
        # A window does not queue behind the drop, which waits for the reader.
        async with asyncio.timeout(5):
            await write(postgres, record(0, timestamp="2026-11-23T10:00:00Z"))
    await building
    await slow.close()

    assert await observer.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'logs_20261123_source_ts'::regclass"
    )
