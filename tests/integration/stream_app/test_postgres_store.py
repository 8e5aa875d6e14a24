"""What only PostgreSQL has of a store: hours, times, several owners, and its own trouble."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import pytest

from ingest_gateway.contract import unix_us
from stream_app.chunks import LOG_APPEND_TIME, BufferedEvents, Chunk, Record
from stream_app.fence import fence
from stream_app.outcomes import Loss, OffsetsMovedError, StoreBusyError, StoreUnavailableError, Window
from stream_app.postgres_store import PostgresStore
from stream_app.prepare import COPY_HEADER, LOG_COLUMNS, prepare
from tests.contract.stores import (
    PostgresAdapter,
    write,
)
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC, FakeRecord, chunk, record, window
from tests.servers import Stack
from threatlog.process.postgres_connection import connect_keywords

Observer: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.mark.integration
async def test_hours_add_up_to_the_rows(postgres: PostgresAdapter) -> None:
    stamps = ["2026-11-24T09:59:59Z", "2026-11-24T10:00:00Z", "2026-11-24T10:59:59Z", "1969-12-31T23:30:00Z"]
    await write(postgres, *(record(n, timestamp=stamp) for n, stamp in enumerate(stamps)))
    await write(postgres, *(record(n + 4, timestamp=stamp) for n, stamp in enumerate(stamps)))

    for table, unit in (("log_rollup_hour", "hour"), ("log_rollup_minute", "minute")):
        difference = await postgres.store.fetch(
            f"SELECT bucket, severity, source, n FROM {table}"
            f" EXCEPT SELECT date_trunc('{unit}', ts), severity, source, count(*) FROM logs GROUP BY 1, 2, 3"
        )
        assert difference == []
        assert (await postgres.store.fetch(f"SELECT sum(n)::int AS n FROM {table}"))[0]["n"] == 8
        counts = await postgres.store.fetch(f"SELECT * FROM log_count_{unit} ORDER BY 1, 2")
        sums = f"SELECT bucket, severity, sum(n)::bigint FROM {table} GROUP BY 1, 2 ORDER BY 1, 2"
        assert counts == await postgres.store.fetch(sums)


@pytest.mark.integration
async def test_workers_that_count_in_the_same_cells_never_wait_in_a_circle(stack: Stack) -> None:
    """A deadlock would end one of them with StoreUnavailableError."""
    stamps = [f"2026-11-24T{hour:02}:{minute:02}:00Z" for hour in (9, 10) for minute in range(0, 60, 7)]
    stores = [PostgresStore(stack.postgres_of("stream"), TOPIC, f"worker-{n}") for n in range(4)]

    async def store(partition: int) -> None:
        # Each meets the shared cells in an order of its own.
        order = stamps[partition * 4 :] + stamps[: partition * 4]
        for start in range(0, 15 * len(order), len(order)):
            records = [record(start + n, timestamp=t, severity=("HIGH", "LOW")[n % 2]) for n, t in enumerate(order)]
            offsets = await stores[partition].positions({partition: start})
            await stores[partition].write(window([chunk(partition, records)], offsets))

    await asyncio.gather(*(store(partition) for partition in range(4)))

    found = await stores[0].fetch("SELECT sum(n)::int AS n FROM log_count_minute")
    assert found[0]["n"] == 4 * 15 * len(stamps)
    for opened in stores:
        await opened.close()


@pytest.mark.integration
async def test_stored_until_is_the_append_time_of_the_last_record_and_never_moves_back(
    postgres: PostgresAdapter,
) -> None:
    await write(postgres, record(0, NOON_MS), record(1, NOON_MS + 500))
    await write(postgres, record(2, NOON_MS + 100))

    (row,) = await postgres.store.fetch("SELECT stored_until, worker FROM consumer_offsets")
    assert unix_us(row["stored_until"]) == (NOON_MS + 500) * 1000
    assert row["worker"] == "worker-1"


@pytest.mark.integration
async def test_at_a_partitions_end_stored_until_moves_only_where_that_end_is_stored(postgres: PostgresAdapter) -> None:
    await write(postgres, record(0), record(1))
    await postgres.positions({1: 0})

    await postgres.store.move_stored_until({0: (2, NOON_MS + 9000), 1: (1, NOON_MS + 9000)})

    found = await postgres.store.fetch("SELECT partition, stored_until FROM consumer_offsets")
    assert {r["partition"]: unix_us(r["stored_until"]) // 1000 for r in found} == {0: NOON_MS + 9000, 1: 0}


@pytest.mark.integration
async def test_a_window_of_an_old_owner_waits_for_the_new_owners_and_changes_nothing(
    postgres: PostgresAdapter, stack: Stack
) -> None:
    """The order in which the new owner's transaction comes first and is still open when the old one's begins."""
    start = await postgres.positions({0: 0})
    same = window([chunk(0, range(50))], start)
    zombie = PostgresStore(stack.postgres_of("stream"), TOPIC, "zombie")

    results = await asyncio.gather(postgres.write(same), zombie.write(same), return_exceptions=True)

    assert [type(result) for result in results].count(OffsetsMovedError) == 1
    assert len(await postgres.rows()) == 50
    assert sum((await postgres.totals()).values()) == 50
    await zombie.close()


@pytest.mark.integration
async def test_a_new_owner_finds_what_the_old_owners_late_transaction_stored(
    postgres: PostgresAdapter, stack: Stack
) -> None:
    """The other order: the old owner commits after the partition has gone to the new one."""
    start = await postgres.positions({0: 0})
    zombie = PostgresStore(stack.postgres_of("stream"), TOPIC, "zombie")
    await zombie.write(window([chunk(0, range(30))], start))

    with pytest.raises(OffsetsMovedError) as moved:
        await postgres.write(window([chunk(0, range(50))], start))
    stored = await postgres.write(window([chunk(0, range(50))], moved.value.stored))

    assert len(stored.rows) == 20
    assert len(await postgres.rows()) == 50
    assert sum((await postgres.totals()).values()) == 50
    await zombie.close()


class HalfCopy:
    """A worker that stops in the middle of its COPY, holding the row of its partition."""

    def __init__(self, connection: Observer) -> None:
        self._connection = connection
        self.holds = asyncio.Event()
        self.work = asyncio.create_task(self._copy())

    async def _copy(self) -> None:
        async with self._connection.transaction():
            await self._connection.execute("SELECT FROM consumer_offsets FOR UPDATE")
            await self._connection.copy_to_table(
                "logs", source=self._half(), columns=list(LOG_COLUMNS), format="binary"
            )

    async def _half(self) -> AsyncIterator[bytes]:
        yield COPY_HEADER
        self.holds.set()
        await asyncio.Event().wait()


@pytest.mark.integration
@pytest.mark.parametrize("application", ["threatlog-stream", "psql"])
async def test_a_worker_frozen_in_a_copy_is_ended_by_its_heir_and_nobody_else_is(
    postgres: PostgresAdapter, stack: Stack, application: str
) -> None:
    start = await postgres.positions({0: 0})
    other = await asyncpg.connect(**connect_keywords(stack.postgres_of("stream")))
    await other.execute(f"SET application_name = '{application}'")
    frozen = HalfCopy(other)
    await frozen.holds.wait()
    heir = PostgresStore(stack.postgres_of("stream"), TOPIC, "heir", lock_timeout_s=0.5, frozen_after_s=0.5)

    async with asyncio.timeout(20):
        if application == "psql":
            with pytest.raises(StoreUnavailableError, match="lock timeout"):
                await heir.write(window([chunk(0, range(5))], start))
            assert not other.is_closed()
        else:
            stored = await heir.write(window([chunk(0, range(5))], start))
            assert len(stored.rows) == 5

    frozen.work.cancel()
    await asyncio.gather(frozen.work, return_exceptions=True)
    await heir.close()
    other.terminate()


@pytest.mark.integration
async def test_a_transaction_that_is_young_is_waited_for(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    start = await postgres.positions({0: 0})
    await observer.execute("SET application_name = 'threatlog-stream'")
    heir = PostgresStore(stack.postgres_of("stream"), TOPIC, "heir", lock_timeout_s=0.2)
    async with observer.transaction():
        await observer.execute("SELECT FROM consumer_offsets FOR UPDATE")
        with pytest.raises(StoreBusyError):
            await heir.write(window([chunk(0, range(5))], start))
    await heir.close()


@pytest.mark.integration
async def test_moving_stored_until_passes_over_what_a_window_holds(
    postgres: PostgresAdapter, observer: Observer
) -> None:
    await postgres.positions({0: 0, 1: 0})

    async with observer.transaction():
        await observer.execute("SELECT FROM consumer_offsets WHERE partition = 0 FOR UPDATE")
        found = await postgres.store.move_stored_until({0: (0, NOON_MS), 1: (0, NOON_MS)})

    assert found == {0: 0, 1: 0}
    rows = await postgres.store.fetch("SELECT partition, stored_until FROM consumer_offsets")
    assert {r["partition"]: unix_us(r["stored_until"]) // 1000 for r in rows} == {0: 0, 1: NOON_MS}


@pytest.mark.integration
async def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_away(postgres: PostgresAdapter) -> None:
    with pytest.raises(asyncpg.DataError):
        await postgres.store.execute("SELECT $1::int", "no number")
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await postgres.store.fetch("SELECT $1::int")


@pytest.mark.integration
async def test_a_connection_that_was_cut_is_unavailable_once_and_opened_anew(postgres: PostgresAdapter) -> None:
    await postgres.positions({0: 0})

    # By itself: cut between two calls it may be seen to be gone, and opened anew, before the next one.
    with pytest.raises(StoreUnavailableError):
        await postgres.store.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await write(postgres, record(0))

    assert await postgres.offsets() == {0: 1}


@pytest.mark.integration
async def test_a_failed_transaction_leaves_nothing_behind(postgres: PostgresAdapter, observer: Observer) -> None:
    await postgres.positions({0: 0})
    await observer.execute("ALTER TABLE log_rollup_total ADD CONSTRAINT no CHECK (n < 0)")

    with pytest.raises(asyncpg.CheckViolationError):
        await write(postgres, record(0), FakeRecord(1, b"?"), losses=(Loss(0, 0, 1),))

    assert (await postgres.rows(), await postgres.letters(), await postgres.losses()) == ([], [], [])
    assert (await postgres.minutes(), await postgres.offsets()) == ({}, {0: 0})


@pytest.mark.integration
@pytest.mark.parametrize("change", ["DROP SCHEMA public CASCADE", "DROP TABLE consumer_offsets"])
async def test_missing_tables_are_no_trouble_that_passes(
    postgres: PostgresAdapter, observer: Observer, change: str
) -> None:
    await observer.execute(change)

    with pytest.raises(asyncpg.UndefinedTableError):
        await postgres.positions({0: 0})


@pytest.mark.integration
async def test_a_database_that_does_not_exist_yet_is_unavailable(stack: Stack) -> None:
    absent = PostgresStore(stack.settings.postgres.model_copy(update={"database": "not_there"}), TOPIC, "w")

    with pytest.raises(StoreUnavailableError):
        await absent.positions({0: 0})


@dataclass(frozen=True, slots=True)
class RecordWithHeaders:
    """As aiokafka's parser makes it."""

    offset: int
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    key: bytes | None = None
    timestamp: int = NOON_MS
    timestamp_type: int | None = LOG_APPEND_TIME


@pytest.mark.integration
async def test_a_dead_letter_keeps_its_records_headers(postgres: PostgresAdapter) -> None:
    headers = [("traceparent", b"00-4bf9"), ("x", b"\xff\x00"), ("x", None), ("\0", b"")]
    await postgres.positions({0: 0})
    records: list[Record] = [RecordWithHeaders(0, b"?", headers), RecordWithHeaders(1, b"?", []), FakeRecord(2, b"?")]
    fenced = fence([Chunk(TOPIC, 0, 0, records, BufferedEvents())], {0: 0})
    await postgres.write(Window(fenced, prepare(TOPIC, fenced.spans, LIMITS)))

    found = await postgres.store.fetch('SELECT headers FROM dead_letters ORDER BY "offset"')
    kept = [[name, None if value is None else b64encode(value).decode()] for name, value in headers]
    assert [row["headers"] and json.loads(row["headers"]) for row in found] == [kept, None, None]


@pytest.mark.integration
async def test_a_rollback_that_fails_does_not_hide_that_the_connection_was_lost(postgres: PostgresAdapter) -> None:
    hiding = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")

    async def fail_in_a_session() -> None:
        async with postgres.store.session():
            raise hiding

    # Alone it is a mistake of ours.
    with pytest.raises(asyncpg.InterfaceError):
        await fail_in_a_session()
    hiding.__context__ = asyncpg.InternalClientError("cannot switch to state 21; another operation (2) is in progress")
    with pytest.raises(StoreUnavailableError, match="in progress"):
        await fail_in_a_session()
