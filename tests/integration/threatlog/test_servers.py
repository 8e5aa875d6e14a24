"""The servers that the suite stands on: each test has its own, and what one breaks is mended for the next."""

from __future__ import annotations

import asyncpg
import pytest

from tests.conftest import MakeStack
from tests.servers import Stack

pytestmark = pytest.mark.integration


async def test_a_stack_has_a_migrated_database_of_its_own(make_stack: MakeStack) -> None:
    first, second = make_stack(), make_stack()
    for stack in (first, second):
        connection = await asyncpg.connect(stack.postgres_dsn)
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        await connection.execute("CREATE TABLE only_here ()")
        await connection.close()
        assert tables > 0
    assert first.postgres_dsn != second.postgres_dsn
    assert first.settings.kafka.topic != second.settings.kafka.topic
    assert first.redis_url != second.redis_url


async def test_a_connection_to_postgres_is_durable_by_default(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn)
    durable = await connection.fetchval("SHOW fsync"), await connection.fetchval("SHOW synchronous_commit")
    await connection.close()
    assert durable == ("on", "on")
