"""Day partitions on PostgreSQL: made, and filled from the default one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest

from stream_app.partitions import DayPartitions
from stream_app.postgres_store import PostgresStore
from tests.contract.stores import (
    PostgresAdapter,
    client_event,
    write,
)
from tests.fakes.kafka_records import TOPIC, record
from tests.integration.stream_app.conftest import until_one_waits
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


# Holds up whoever has moved rows out of the default partition, for as long as the test wants.
HOLD_UP_THE_MOVE = """
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
CREATE TRIGGER hold_up AFTER DELETE ON logs_default FOR EACH STATEMENT EXECUTE FUNCTION hold_up()"""


@pytest.mark.integration
async def test_a_row_that_comes_while_its_day_is_filled_neither_waits_nor_is_lost(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    await write(postgres, record(0), record(1))
    await observer.execute(HOLD_UP_THE_MOVE)
    await observer.execute("SELECT pg_advisory_lock(42)")

    slow = PostgresStore(stack.postgres_of("stream"), TOPIC, "worker-2")
    moving = asyncio.create_task(DayPartitions(slow, 30, 2, lambda: TODAY).make_of_default())
    await until_one_waits(postgres.store)
    seen = [await observer.fetchval("SELECT count(*) FROM logs")]
    async with asyncio.timeout(20):
        await write(postgres, record(2))
        seen.append(await observer.fetchval("SELECT count(*) FROM logs"))
        await observer.execute("SELECT pg_advisory_unlock(42)")
        await moving

    assert seen == [2, 3]
    assert await tables_of(postgres) == ["logs_20261124"]
    assert len(await postgres.rows()) == 3
    await slow.close()


@pytest.mark.integration
async def test_two_workers_may_make_the_same_partition_at_once(postgres: PostgresAdapter, stack: Stack) -> None:
    other = PostgresStore(stack.postgres_of("stream"), TOPIC, "worker-2")
    wanted = {day(TODAY) - n for n in range(4)}

    await asyncio.gather(
        days_of(postgres, TODAY).ensure(wanted), DayPartitions(other, 30, 2, lambda: TODAY).ensure(wanted)
    )

    found = await postgres.store.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'logs'::regclass"
    )
    assert len(found) == 5
    await other.close()
