"""`loadgen ledger` against real services: a clean run is clean, and each kind of violation is found."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.conftest import MakeStack
from tests.e2e.fleet import Fleet
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

# What is done to the table, and the checks that must break.
VIOLATIONS: dict[str, tuple[str, set[str]]] = {
    "a row is gone": (
        "DELETE FROM logs WHERE id = (SELECT id FROM logs LIMIT 1)",
        {"acknowledged is in the table", "acknowledged is in the API"},
    ),
    "a row is there twice": (
        "INSERT INTO logs SELECT id, ts + '1 ms', severity, source, message, attributes, received_at FROM logs LIMIT 1",
        {"nothing is in the table twice", "nothing is in the API twice", "content is what was sent",
         "content in the API is what was sent"},
    ),
    "a message is another": (
        "UPDATE logs SET message = message || '!' WHERE id = (SELECT id FROM logs LIMIT 1)",
        {"content is what was sent", "content in the API is what was sent"},
    ),
    "a row was never sent": (
        "INSERT INTO logs SELECT gen_random_uuid(), ts, severity, source, message, attributes, received_at"
        " FROM logs LIMIT 1",
        {"the table is within issued", "the API is within issued"},
    ),
    "a dead letter is gone": (
        "DELETE FROM dead_letters WHERE \"offset\" = (SELECT max(\"offset\") FROM dead_letters)",
        {"bad records are dead letters"},
    ),
}  # fmt: skip


def loadgen(environment: Mapping[str, str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code of `loadgen ledger`, its line of JSON, and what it says to people."""
    command = [sys.executable, "-m", "loadgen", "ledger", *arguments]
    ran = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=200, check=False)
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else {}, ran.stderr


def addresses(fleet: Fleet, db: Path) -> list[str]:
    """The options that name a fleet and a file."""
    kafka = fleet.stack.settings.kafka
    return [
        *("--db", str(db), "--gateway-url", fleet.gateway_url, "--query-url", fleet.query_url),
        *("--kafka-bootstrap", kafka.bootstrap_servers, "--topic", kafka.topic),
        *("--postgres", fleet.stack.postgres_dsn),
    ]


async def changed(stack: Stack, *statements: str) -> None:
    """Does something to the database."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_a_clean_run_is_clean_and_every_violation_is_found(
    make_stack: MakeStack, spawn: Spawner, tmp_path: Path
) -> None:
    # Pages from the cache would show for a while what is gone.
    stack = make_stack(variables={"THREATLOG_CACHE_QUERY_CACHE_ENABLED": "false"})
    fleet = Fleet(stack, spawn, workers=1, queries=1)
    await asyncio.to_thread(fleet.wait_ready)
    options = addresses(fleet, tmp_path / "ledger.sqlite")
    load = ["--rps", "1500", "--duration", "4s", "--producers", "30", "--faults", "none"]
    code, line, said = await asyncio.to_thread(loadgen, stack.environment, *options, *load)
    assert (code, line["verdict"], line["faults"]) == (0, "clean", "none"), said
    assert line["acknowledged"] > 2000
    assert line["refused"] > 0
    assert line["acknowledged_bad"] > 0
    assert set(line["checks"].values()) == {0}
    # The table and all that is kept beside it, to begin each violation anew.
    await changed(stack, "CREATE TABLE kept AS TABLE logs", "CREATE TABLE kept_dead AS TABLE dead_letters")
    for name, (statement, broken) in VIOLATIONS.items():
        await changed(stack, statement)
        check = [*options, "--check-only", "--verify-timeout", "2s"]
        code, line, said = await asyncio.to_thread(loadgen, stack.environment, *check)
        found = {check for check, count in line["checks"].items() if count}
        assert (code, found >= broken) == (1, True), f"{name}: {found}\n{said}"
        assert found - broken <= {"API and table agree", "nothing is in the API twice"}, name
        await changed(
            stack,
            *("TRUNCATE logs, dead_letters", "INSERT INTO logs TABLE kept", "INSERT INTO dead_letters TABLE kept_dead"),
        )
    code, line, said = await asyncio.to_thread(loadgen, stack.environment, *options, "--check-only")
    assert (code, line["verdict"]) == (0, "clean"), said
    code, line, _ = await asyncio.to_thread(
        loadgen, stack.environment, *options, "--check-only", "--min-acknowledged", "1000000"
    )
    assert (code, line["verdict"]) == (4, "void")


def test_a_file_that_holds_a_run_is_not_used_again(stack: Stack, tmp_path: Path) -> None:
    from loadgen.oracle_file import OracleFile

    db = tmp_path / "ledger.sqlite"
    file = OracleFile(db)
    file.begin("run", 1, "")
    file.close()
    code, _, said = loadgen(stack.environment, "--db", str(db))
    assert code == 2
    assert "check it with --check-only, or name another" in said


def test_services_that_are_not_there_are_said_so(stack: Stack, tmp_path: Path) -> None:
    db = str(tmp_path / "ledger.sqlite")
    code, _, said = loadgen(stack.environment, "--db", db, "--kafka-bootstrap", "127.0.0.1:1")
    assert code == 3
    assert "Kafka at 127.0.0.1:1" in said
