"""PostgreSQL through the store, and beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from stream_app.postgres_store import PostgresStore
from tests.contract.stores import (
    PostgresAdapter,
)
from tests.servers import Stack

Observer: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def postgres(stack: Stack) -> AsyncIterator[PostgresAdapter]:
    """PostgreSQL alone."""
    adapter = PostgresAdapter(stack)
    yield adapter
    await adapter.store.close()


@pytest.fixture
async def observer(stack: Stack) -> AsyncIterator[Observer]:
    """Another connection."""
    connection = await asyncpg.connect(stack.postgres_dsn)
    yield connection
    await connection.close()


async def until_one_waits(store: PostgresStore) -> None:
    """Returns once somebody waits for a lock."""
    async with asyncio.timeout(20):
        while True:
            if await store.fetch("SELECT FROM pg_locks WHERE NOT granted"):
                return
            await asyncio.sleep(0.02)
