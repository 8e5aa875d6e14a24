"""Retention on PostgreSQL: whole days and old rows of the default partition go with exactly their counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from stream_app.partitions import DayPartitions, days_since_1970
from stream_app.postgres_store import PostgresStore
from stream_app.retention import Retention
from tests.contract.stores import PostgresAdapter, write
from tests.e2e.agreement import rollup_differences
from tests.fakes.kafka_records import NOON_MS, TOPIC, FakeRecord, record
from tests.integration.stream_app.conftest import Observer, until_one_waits
from tests.servers import Stack

pytestmark = pytest.mark.integration
NOW = datetime.fromtimestamp(NOON_MS / 1000, UTC)
KEPT_DAYS = 31
OLD = NOW - timedelta(days=KEPT_DAYS + 1)
KEPT = NOW - timedelta(days=KEPT_DAYS)


@pytest.fixture
async def owner(stack: Stack) -> AsyncIterator[PostgresStore]:
    """As the owner of the tables."""
    store = PostgresStore(stack.settings.postgres, TOPIC, "owner")
    yield store
    await store.close()


def at(offset: int, moment: datetime, appended: datetime = NOW, source: str = "web") -> FakeRecord:
    """The record of an event of that time."""
    return record(offset, int(appended.timestamp() * 1000), timestamp=moment.isoformat(), source=source)


async def make_days(owner: PostgresStore, *moments: datetime) -> None:
    """Their partitions."""
    await DayPartitions(owner, KEPT_DAYS + 30, 2, lambda: NOW).ensure({days_since_1970(m) for m in moments})


async def sources(owner: PostgresStore) -> list[str]:
    """Of every event that is left."""
    return [row["source"] for row in await owner.fetch("SELECT source FROM logs ORDER BY source")]


async def drops(owner: PostgresStore) -> list[tuple[datetime, datetime, int]]:
    """What was noted of each."""
    found = await owner.fetch("SELECT first_ts, last_ts, events FROM retention_drops ORDER BY id")
    return [tuple(row.values()) for row in found]


async def test_a_day_goes_whole_with_its_counts_and_a_note(
    postgres: PostgresAdapter, owner: PostgresStore, observer: Observer
) -> None:
    await make_days(owner, OLD, KEPT, NOW)
    await write(postgres, *(at(n, OLD, source="old") for n in range(7)), at(7, KEPT, source="kept"), at(8, NOW))

    await Retention(owner, KEPT_DAYS, lambda: NOW).enforce()
    await Retention(owner, KEPT_DAYS, lambda: NOW).enforce()

    assert await sources(owner) == ["kept", "web"]
    midnight = OLD.replace(hour=0, minute=0, second=0, microsecond=0)
    assert await drops(owner) == [(midnight, midnight + timedelta(days=1, microseconds=-1), 7)]
    assert await observer.fetchval("SELECT to_regclass('logs_' || to_char($1::timestamptz, 'YYYYMMDD'))", OLD) is None
    assert await rollup_differences(observer, totals=False) == []
    assert await observer.fetchval("SELECT sum(n)::int FROM log_rollup_total") == 9


async def test_nothing_goes_without_a_retention(postgres: PostgresAdapter, owner: PostgresStore) -> None:
    await make_days(owner, OLD)
    await write(postgres, at(0, OLD))

    await Retention(owner, 0, lambda: NOW).enforce()

    assert await sources(owner) == ["web"]


async def test_outside_every_day_what_was_received_long_ago_goes_and_the_rest_is_kept(
    postgres: PostgresAdapter, owner: PostgresStore, observer: Observer
) -> None:
    wrong_clock = datetime(1971, 5, 6, 7, 8, 9, tzinfo=UTC)
    far = datetime(9999, 12, 29, 23, 59, 59, tzinfo=UTC)
    await write(
        postgres,
        *(at(n, wrong_clock, OLD, "both") for n in range(3)),
        at(3, wrong_clock, KEPT, "both"),
        at(4, wrong_clock, OLD, "gone"),
        at(5, far, OLD, "far"),
        at(6, NOW - timedelta(days=400), NOW, "late"),
    )

    await Retention(owner, KEPT_DAYS, lambda: NOW).enforce()

    assert await sources(owner) == ["both", "late"]
    assert await drops(owner) == [(wrong_clock, far, 5)]
    assert await rollup_differences(observer, totals=False) == []


async def test_a_late_event_that_comes_while_its_day_goes_is_counted_or_kept(
    postgres: PostgresAdapter, owner: PostgresStore, observer: Observer
) -> None:
    await make_days(owner, OLD, NOW)
    await write(postgres, at(0, OLD), at(1, OLD))
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        enforcing = asyncio.create_task(Retention(owner, KEPT_DAYS, lambda: NOW).enforce())
        await until_one_waits(postgres.store)
        writing = asyncio.create_task(write(postgres, at(2, OLD, source="late"), at(3, NOW, source="new")))
        await asyncio.sleep(0.1)
    await asyncio.gather(enforcing, writing)

    left = await sources(owner)
    assert left in (["late", "new"], ["new"])
    assert (await drops(owner))[0][2] == (2 if "late" in left else 3)
    assert await rollup_differences(observer, totals=False) == []


async def test_who_holds_the_table_is_waited_for_a_second_and_then_left_alone(
    postgres: PostgresAdapter, owner: PostgresStore, observer: Observer
) -> None:
    await make_days(owner, OLD, NOW)
    await write(postgres, at(0, OLD))
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        await Retention(owner, KEPT_DAYS, lambda: NOW).enforce()
    assert await sources(owner) == ["web"]
    assert await rollup_differences(observer) == []

    await Retention(owner, KEPT_DAYS, lambda: NOW).enforce()

    assert await sources(owner) == []
