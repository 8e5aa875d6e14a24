"""`threatlog maintain` as a process: as the owner, as a service, without PostgreSQL, and its end."""

from __future__ import annotations

import json
import random
import signal
from datetime import UTC, datetime, timedelta

import pytest

from stream_app.partitions import days_since_1970, name_of
from tests.integration.stream_app.conftest import Observer
from tests.processes import Spawner, eventually
from tests.servers import Stack
from threatlog.embedded.ports import free_port
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_OK, EXIT_TRY_LATER
from threatlog.process.postgres_roles import LOGINS

pytestmark = pytest.mark.integration
ONCE = ["-m", "threatlog", "maintain", "--once"]


async def closed_day(observer: Observer) -> str:
    """A partition of three days ago."""
    day = datetime.now(UTC) - timedelta(days=3)
    await observer.execute("SELECT make_log_day($1)", day.date())
    return name_of(days_since_1970(day))


async def indexed(observer: Observer) -> list[str]:
    found = await observer.fetch("SELECT tablename FROM pg_indexes WHERE indexname ~ '_source_ts$'")
    return [row["tablename"] for row in found]


async def test_the_owner_builds_what_is_missing_and_ends(observer: Observer, stack: Stack, spawn: Spawner) -> None:
    name = await closed_day(observer)
    assert spawn("maintain", ONCE, stack.environment).wait_exit(30) == EXIT_OK
    assert await indexed(observer) == [name]


async def test_a_service_may_not_and_is_told_who_may(observer: Observer, stack: Stack, spawn: Spawner) -> None:
    await closed_day(observer)
    process = spawn("maintain", ONCE, stack.with_environment(THREATLOG_POSTGRES_USER=LOGINS["stream"][0]))
    assert process.wait_exit(30) == EXIT_CONFIGURATION
    assert "only the owner of the tables may maintain them" in json.loads(process.log_text().splitlines()[-1])["msg"]
    assert await indexed(observer) == []


async def test_without_postgresql_it_ends_with_75(stack: Stack, spawn: Spawner) -> None:
    away = stack.with_environment(THREATLOG_POSTGRES_PORT=str(free_port(random.Random())))
    assert spawn("maintain", ONCE, away).wait_exit(30) == EXIT_TRY_LATER


async def test_it_goes_on_until_it_is_told_to_end(observer: Observer, stack: Stack, spawn: Spawner) -> None:
    name = await closed_day(observer)
    process = spawn("maintain", ["-m", "threatlog", "maintain"], stack.environment)

    async def built() -> bool:
        return await indexed(observer) == [name]

    await eventually(built, "the closed day has its index")
    process.child.send(signal.SIGTERM)
    assert process.wait_exit(10) == EXIT_OK
