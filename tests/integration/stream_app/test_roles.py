"""Each group role may do in PostgreSQL what its service needs, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest

from stream_app import roles
from stream_app.migrate import run
from stream_app.partitions import DayPartitions, days_since_1970
from tests.contract.stores import PostgresAdapter, write
from tests.fakes.kafka_records import record
from tests.integration.stream_app.conftest import Observer
from tests.servers import READY_TIMEOUT_S, Stack
from threatlog.embedded import PostgresServer
from threatlog.embedded.ports import LOOPBACK, free_port
from threatlog.process.postgres_connection import connect_keywords
from threatlog.process.postgres_roles import LOGINS, ROLES
from threatlog.process.server_settings import Postgres

pytestmark = pytest.mark.integration
TODAY = datetime(2026, 11, 24, 10, tzinfo=UTC)
KEY = "INSERT INTO api_keys (id, name, secret_hash, scopes) VALUES ('k', 'k', '', '{admin}')"
FORBIDDEN = {
    "stream": (
        "UPDATE logs SET message = 'nothing happened'",
        "DELETE FROM logs",
        "DELETE FROM logs_default",
        "DELETE FROM logs_20261124",
        "TRUNCATE logs",
        "DROP TABLE logs_20261124",
        "ALTER TABLE logs DETACH PARTITION logs_20261124",
        "LOCK TABLE logs IN ACCESS EXCLUSIVE MODE",
        "DELETE FROM log_rollup_total",
        "UPDATE dead_letters SET reason = 'none'",
        "DELETE FROM dead_letters",
        "DELETE FROM offset_gaps",
        "DELETE FROM consumer_offsets",
        "SELECT FROM audit_log",
        "UPDATE api_keys SET revoked_at = NULL",
        KEY,
        "CREATE TABLE own ()",
        "CREATE FUNCTION to_char(date, text) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$",
    ),
    "query": (
        "INSERT INTO logs SELECT * FROM logs",
        "DELETE FROM logs",
        "UPDATE consumer_offsets SET next_offset = 0",
        "DELETE FROM process_metrics",
        "SELECT payload FROM dead_letters",
        "SELECT key, headers FROM dead_letters",
        "DELETE FROM dead_letters",
        "DELETE FROM offset_gaps",
        "SELECT FROM audit_log",
        "SELECT make_log_day('2026-11-25')",
        "SELECT move_log_day('2026-11-25')",
        "SELECT lock_default_logs()",
        "CREATE TABLE own ()",
        KEY,
    ),
    "gateway": (
        "SELECT FROM logs",
        "SELECT FROM logs_20261124",
        "SELECT FROM log_rollup_total",
        "SELECT FROM dead_letters",
        "SELECT FROM audit_log",
        "DELETE FROM audit_log",
        "UPDATE api_keys SET scopes = '{admin}'",
        "UPDATE api_keys SET secret_hash = ''",
        "DELETE FROM api_keys",
        "DELETE FROM producer_figures",
        "UPDATE producer_duplicates SET n = 0",
        "SELECT make_log_day('2026-11-25')",
        KEY,
    ),
}


async def rights(connection: Observer) -> set[roles.Right]:
    """What the group roles have."""
    found = await connection.fetch(roles.GRANTED.replace("%(roles)s", "$1"), list(ROLES))
    return {roles.Right(*row) for row in found}


@pytest.fixture
async def worker(stack: Stack) -> AsyncIterator[Observer]:
    """A connection with the login of the stream application."""
    connection = await asyncpg.connect(**connect_keywords(stack.postgres_of("stream")))
    yield connection
    await connection.close()


async def test_every_table_is_listed_and_none_that_is_not_there(observer: Observer) -> None:
    found = await observer.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        " AND relkind IN ('r', 'p', 'v', 'm', 'f') AND relname !~ '^logs_[0-9]{8}$'"
    )
    assert {row["relname"] for row in found} == set(roles.TABLES)


async def test_every_function_that_runs_as_its_owner_is_listed_fixed_and_closed_to_others(observer: Observer) -> None:
    found = await observer.fetch(
        "SELECT oid::regprocedure::text AS name, proconfig, has_function_privilege('public', oid, 'EXECUTE') AS anyone"
        " FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND prosecdef"
    )
    assert {row["name"] for row in found} == set(roles.FUNCTIONS)
    assert all(row["proconfig"] == ["search_path=public, pg_temp"] for row in found)
    assert not any(row["anyone"] for row in found)


async def test_migrating_again_gives_back_what_was_taken_and_takes_what_was_given(
    observer: Observer, stack: Stack
) -> None:
    assert await rights(observer) == roles.wanted()
    await observer.execute(
        "GRANT DELETE ON logs TO threatlog_writer; GRANT UPDATE (name) ON api_keys TO threatlog_gateway;"
        "REVOKE SELECT ON logs FROM threatlog_reader; REVOKE ALL ON FUNCTION make_log_day FROM threatlog_writer;"
        f"REVOKE ALL ON DATABASE {stack.name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC"
    )
    assert await rights(observer) != roles.wanted()

    assert await asyncio.to_thread(run, stack.settings.postgres) == 0

    assert await rights(observer) == roles.wanted()
    for service in LOGINS:
        connection = await asyncpg.connect(**connect_keywords(stack.postgres_of(service)))
        assert await connection.fetchval("SELECT count(*) FROM api_keys") == 0
        await connection.execute("CREATE TEMP TABLE staged ()")
        await connection.close()


@pytest.mark.parametrize("service", FORBIDDEN)
async def test_a_service_cannot_do_what_it_has_no_need_to(stack: Stack, observer: Observer, service: str) -> None:
    await observer.fetch("SELECT make_log_day('2026-11-24')")
    connection = await asyncpg.connect(**connect_keywords(stack.postgres_of(service)))
    allowed = []
    for statement in FORBIDDEN[service]:
        try:
            async with connection.transaction():
                await connection.execute(statement)
            allowed.append(statement)
        except asyncpg.InsufficientPrivilegeError:
            pass
    await connection.close()
    assert not allowed


async def test_a_days_partition_belongs_to_who_migrates_whoever_made_it(
    postgres: PostgresAdapter, observer: Observer
) -> None:
    days = DayPartitions(postgres.store, 30, 2, lambda: TODAY)
    await write(postgres, record(0, timestamp="2026-11-23T10:00:00Z"))
    await days.ensure({days_since_1970(TODAY)})
    await days.make_of_default()
    found = await observer.fetch(
        "SELECT tablename, tableowner = current_user AS ours FROM pg_tables WHERE tablename ~ '^logs_[0-9]' ORDER BY 1"
    )
    assert [tuple(row) for row in found] == [("logs_20261123", True), ("logs_20261124", True)]


async def test_what_runs_as_the_owner_is_not_misled_by_tables_of_its_caller(
    worker: Observer, observer: Observer
) -> None:
    await worker.execute(
        "CREATE TEMP TABLE logs_default (ts timestamptz); INSERT INTO logs_default VALUES ('2026-11-24T10:00Z');"
        "CREATE TEMP TABLE logs (LIKE public.logs) PARTITION BY RANGE (ts); SET search_path = pg_temp, public"
    )
    assert await worker.fetchval("SELECT public.make_log_day($1)", date(2026, 11, 24)) is True
    assert await observer.fetchval("SELECT inhparent::regclass::text FROM pg_inherits i JOIN pg_class c "
                                   "ON c.oid = i.inhrelid WHERE c.relname = 'logs_20261124'") == "logs"  # fmt: skip


async def test_a_worker_without_rights_ends_with_what_to_do(stack: Stack, observer: Observer) -> None:
    await observer.execute("REVOKE INSERT ON logs FROM threatlog_writer")
    adapter = PostgresAdapter(stack)
    with pytest.raises(Exception, match="is it a member of threatlog_writer, and has `threatlog migrate` run since"):
        await write(adapter, record(0))
    await adapter.store.close()


async def test_who_may_not_make_roles_is_told_how_they_are_made_and_who_may_makes_them(
    server_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a server of its own: roles are of all databases. It also gets back the roles that an older one lacked."""
    server = PostgresServer(server_folder / "roles", free_port(random.Random()), durable=False)
    server.start()
    try:
        server.wait_ready(READY_TIMEOUT_S)
        settings = Postgres(port=server.port)
        superuser = await asyncpg.connect(host=LOOPBACK, port=server.port, user="postgres", database="postgres")
        for role in (*(login for login, _ in LOGINS.values()), *ROLES):
            await superuser.execute(f"DROP ROLE {role}")

        assert await asyncio.to_thread(run, settings) == 0
        said = capsys.readouterr().out
        assert said.startswith("the user threatlog may not create roles, so that every service has to log in as")
        assert "CREATE ROLE threatlog_gateway NOLOGIN; CREATE ROLE threatlog_reader NOLOGIN;" in said

        await superuser.execute("ALTER ROLE threatlog CREATEROLE")
        await superuser.close()
        assert await asyncio.to_thread(run, settings) == 0
        assert capsys.readouterr().out == "the tables are up to date\n"
        owner = await asyncpg.connect(host=LOOPBACK, port=server.port, user="threatlog", database="threatlog")
        assert await rights(owner) == roles.wanted()
        await owner.close()

        server.stop()
        (server_folder / "roles" / "threatlog-roles.sql").resolve().unlink()
        server.start()
        server.wait_ready(READY_TIMEOUT_S)
        for login, _ in LOGINS.values():
            member = await asyncpg.connect(host=LOOPBACK, port=server.port, user=login, database="threatlog")
            assert await member.fetchval("SELECT count(*) FROM api_keys") == 0
            await member.close()
    finally:
        server.stop()
