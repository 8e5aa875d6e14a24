"""What an upgrade finds is counted as what comes after it, and a worker of before it stores nothing more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import psycopg
import pytest

from stream_app.migrate import _ADVISORY_LOCK, MIGRATIONS, run
from tests.contract.stores import PostgresAdapter, write
from tests.fakes.kafka_records import record
from tests.integration.stream_app.conftest import Observer, until_one_waits
from tests.integration.stream_app.workers import Tables
from tests.servers import Stack
from threatlog.process.exit_codes import EXIT_TRY_LATER

pytestmark = pytest.mark.integration
# As the worker of migration 0001 moved its offsets.
MOVE_OFFSETS_0001 = "UPDATE consumer_offsets SET next_offset = next_offset + 1"


async def apply(connection: Observer, name: str) -> None:
    async with connection.transaction():
        await connection.execute((MIGRATIONS / name).read_text())


async def upgrade(connection: Observer, stack: Stack, name: str) -> None:
    """The same, and then what each upgrade ends with: the rights of the roles."""
    await apply(connection, name)
    assert await asyncio.to_thread(run, stack.settings.postgres) == 0


async def test_a_migration_that_was_killed_locks_out_no_later_one(
    observer: Observer, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    await observer.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")

    async with asyncio.timeout(8):
        assert await asyncio.to_thread(run, stack.settings.postgres) == 0

    assert capsys.readouterr().out == "the tables are up to date\n"
    assert await observer.fetchval("SELECT count(*) FROM yoyo_lock") == 0


async def test_a_migration_waits_for_the_one_under_way(
    observer: Observer, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    await observer.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
    await observer.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    waiting = asyncio.create_task(asyncio.to_thread(run, stack.settings.postgres))
    async with asyncio.timeout(20):
        while True:
            if await observer.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                break
            await asyncio.sleep(0.02)
    assert await observer.fetchval("SELECT count(*) FROM yoyo_lock") == 1

    await observer.execute("SELECT pg_advisory_unlock_all()")

    assert await waiting == 0
    assert capsys.readouterr().out.splitlines() == [
        "waiting for another `threatlog migrate`",
        "the tables are up to date",
    ]


async def test_a_migration_is_applied_whole_with_the_note_of_it_or_not_at_all(
    observer: Observer, stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "9001_new.sql").write_text("-- depends:\nCREATE TABLE new_table ();\nCREATE TABLE another ();\n")
    await observer.execute(
        "CREATE FUNCTION killed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'killed'; END $$;"
        "CREATE TRIGGER killed BEFORE INSERT ON _yoyo_migration FOR EACH ROW EXECUTE FUNCTION killed()"
    )
    with pytest.raises(psycopg.errors.RaiseException):
        await asyncio.to_thread(run, stack.settings.postgres, 1.0, tmp_path)
    assert await observer.fetchval("SELECT to_regclass('new_table')") is None

    await observer.execute("DROP TRIGGER killed ON _yoyo_migration")
    assert await asyncio.to_thread(run, stack.settings.postgres, 1.0, tmp_path) == 0
    assert await asyncio.to_thread(run, stack.settings.postgres, 1.0, tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == ["applied 9001_new", "the tables are up to date"]


async def test_a_migration_without_a_transaction_may_be_killed_anywhere_and_runs_again(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    """Workers store meanwhile: an index is made without holding them up."""
    name = "0014_counts_by_bucket_and_source"
    await write(postgres, record(0), record(1, source="other"))
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'log_rollup_minute_pkey'"
    for statement in (MIGRATIONS / f"{name}.rollback.sql").read_text().split(";")[:-1]:
        await observer.execute(statement)
    assert await observer.fetchval(key) == "PRIMARY KEY (bucket, severity, source)"
    await write(postgres, record(2))
    # Killed while it made the first index, and then after it had put it in its place.
    await observer.execute("CREATE INDEX log_rollup_minute_by_source ON log_rollup_minute (bucket)")
    for _ in range(2):
        await observer.execute("DELETE FROM _yoyo_migration WHERE migration_id = $1", name)
        assert await asyncio.to_thread(run, stack.settings.postgres) == 0
        assert await observer.fetchval(key) == "PRIMARY KEY (bucket, source, severity)"

    await write(postgres, record(3))
    await Tables(stack).assert_rollups_equal_rows()


async def test_counts_without_source_are_made_from_what_is_there(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    stamps = ["2026-11-24T09:59:59Z", "2026-11-24T10:00:00Z", "2026-11-24T10:59:59Z", "1969-12-31T23:30:00Z"]
    await write(postgres, *(record(n, timestamp=stamp, source=f"s{n % 3}") for n, stamp in enumerate(stamps * 3)))

    await apply(observer, "0002_counts.rollback.sql")
    await upgrade(observer, stack, "0002_counts.sql")

    await Tables(stack).assert_rollups_equal_rows()
    assert await observer.fetchval("SELECT sum(n)::int FROM log_count_hour") == 12
    await write(postgres, record(12))
    await Tables(stack).assert_rollups_equal_rows()


async def test_every_hour_before_the_upgrade_is_searched_for_an_id(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    """And of those after it only the hours that hold an event whose id does not lead to it."""
    await write(postgres, record(0, timestamp="2026-11-24T08:30:00Z"), record(1, timestamp="2026-11-24T09:30:00Z"))

    await apply(observer, "0005_foreign_ids.rollback.sql")
    await upgrade(observer, stack, "0005_foreign_ids.sql")
    random_id = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    await write(postgres, record(2), record(3, timestamp="2026-11-24T12:30:00Z", id=random_id))

    hours = await observer.fetch("SELECT extract(hour FROM bucket)::int AS hour FROM log_foreign_ids ORDER BY 1")
    assert [row["hour"] for row in hours] == [8, 9, 12]


async def test_an_older_worker_cannot_store_what_would_not_be_counted(
    postgres: PostgresAdapter, observer: Observer, stack: Stack
) -> None:
    await write(postgres, record(0))
    await apply(observer, "0002_counts.rollback.sql")
    await observer.execute(MOVE_OFFSETS_0001)
    await upgrade(observer, stack, "0002_counts.sql")

    with pytest.raises(asyncpg.CheckViolationError):
        await observer.execute(MOVE_OFFSETS_0001)
    await write(postgres, record(2))
    assert await postgres.offsets() == {0: 3}


async def test_rows_of_processes_get_their_workers_name(observer: Observer) -> None:
    await apply(observer, "0003_silent_processes.rollback.sql")
    for process, role in (("stream-a-1-1764", "stream"), ("query-a-1-1764", "query")):
        await observer.execute("INSERT INTO process_metrics VALUES ($1, $2, now(), now(), '{}')", process, role)
    await apply(observer, "0003_silent_processes.sql")
    found = await observer.fetch("SELECT process, worker FROM process_metrics ORDER BY 1")
    assert [tuple(row) for row in found] == [("query-a-1-1764", None), ("stream-a-1-1764", "stream-a-1")]


async def test_a_migration_gives_way_to_windows_while_somebody_holds_the_table(
    observer: Observer, stack: Stack, postgres: PostgresAdapter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "9999_next.sql").write_text("ALTER TABLE logs ADD COLUMN note text")
    longest_s, offset = 0.0, 0
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        migrating = asyncio.create_task(asyncio.to_thread(run, stack.settings.postgres, 60.0, tmp_path))
        await until_one_waits(postgres.store)
        ends = time.monotonic() + 4.0
        while time.monotonic() < ends:
            started = time.monotonic()
            await write(postgres, record(offset))
            longest_s, offset = max(longest_s, time.monotonic() - started), offset + 1
        assert not migrating.done()
    assert await migrating == 0

    # The lock is waited for 1 s at most; the rest is this machine's.
    assert 0.2 < longest_s < 3.0
    assert capsys.readouterr().out.splitlines() == [
        "9999_next waits for others who hold a table that it changes",
        "applied 9999_next",
    ]
    await write(postgres, record(offset))
    assert await observer.fetchval("SELECT count(*) FROM logs") == offset + 1


async def test_a_table_that_is_never_let_go_is_given_up_and_said(
    observer: Observer, stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "9999_next.sql").write_text("ALTER TABLE logs ADD COLUMN note text")
    async with observer.transaction():
        await observer.execute("SELECT FROM logs")
        assert await asyncio.to_thread(run, stack.settings.postgres, 0.5, tmp_path) == EXIT_TRY_LATER
    assert "9999_next was not applied: others hold a table that it changes" in capsys.readouterr().out
    assert await asyncio.to_thread(run, stack.settings.postgres, 0.5, tmp_path) == 0
