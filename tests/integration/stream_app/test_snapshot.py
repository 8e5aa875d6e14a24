"""What a rebuild of Redis reads, from PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingest_gateway.contract import unix_us
from stream_app.contract import MAX_RECENT_AHEAD_S, RECENT_EVENTS
from stream_app.snapshot import PostgresSnapshots
from tests.contract.stores import PostgresAdapter
from tests.integration.stream_app.conftest import Observer

NOW = datetime(2026, 11, 24, 10, 0, 30, tzinfo=UTC)
HIGH = 3


async def add(observer: Observer, first: datetime, count: int) -> None:
    """So many events of one minute, and their counts."""
    await observer.execute(
        "INSERT INTO logs (id, ts, severity, source, message, received_at) "
        "SELECT gen_random_uuid(), $1::timestamptz + n * interval '1 millisecond', $2, 'a', 'm', $1 "
        "FROM generate_series(1, $3::int) AS n",
        first,
        HIGH,
        count,
    )
    for step in ("minute", "hour"):
        await observer.execute(
            f"INSERT INTO log_count_{step} AS t (bucket, severity, n) "
            f"VALUES (date_trunc('{step}', $1::timestamptz), $2, $3) "
            "ON CONFLICT (bucket, severity) DO UPDATE SET n = t.n + excluded.n",
            first,
            HIGH,
            count,
        )


@pytest.mark.integration
async def test_the_minute_that_the_latest_time_cuts_leaves_no_event_out(
    postgres: PostgresAdapter, observer: Observer
) -> None:
    beyond = NOW + timedelta(seconds=MAX_RECENT_AHEAD_S + 1)
    await add(observer, beyond, RECENT_EVENTS)
    await add(observer, NOW, 700)
    await add(observer, NOW - timedelta(days=9), 500)

    found = await PostgresSnapshots(postgres.store, "a-topic").snapshot(NOW.timestamp())

    assert len(found.recent[HIGH]) == RECENT_EVENTS
    assert [time for _, time in found.recent[HIGH]] == [time for _, time in found.recent[None]]


@pytest.mark.integration
@pytest.mark.parametrize(
    "before", [timedelta(minutes=1), timedelta(minutes=59), timedelta(hours=1), timedelta(days=40)]
)
async def test_a_severity_is_followed_over_minutes_and_hours_until_its_list_is_full(
    postgres: PostgresAdapter, observer: Observer, before: timedelta
) -> None:
    for number, count in enumerate((RECENT_EVENTS - 500, 300, 150, 200)):
        await add(observer, NOW - number * before, count)

    found = await PostgresSnapshots(postgres.store, "a-topic").snapshot(NOW.timestamp())

    assert len(found.recent[HIGH]) == RECENT_EVENTS
    assert [time for _, time in found.recent[HIGH]] == [time for _, time in found.recent[None]]


@pytest.mark.integration
async def test_between_two_times_are_the_newest_of_all_and_of_each_severity(
    postgres: PostgresAdapter, observer: Observer
) -> None:
    snapshots = PostgresSnapshots(postgres.store, "a-topic")
    assert await snapshots.recent_between(NOW, NOW + timedelta(seconds=60)) == {}
    await add(observer, NOW, 1200)

    found = await snapshots.recent_between(NOW + timedelta(milliseconds=100), NOW + timedelta(milliseconds=1150))

    times = [time - unix_us(NOW) for _, time in found[HIGH]]
    assert times == [ms * 1000 for ms in range(1150, 150, -1)]
    assert (found[None], found[0]) == (found[HIGH], [])
