"""The query API while every connection that queries may have is taken by slow ones."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.integration.query_api.running import HOUR, fill, start_query
from tests.processes import Spawner, wait_until
from tests.servers import Stack, run_now
from tests.unit.query_api.builders import logged_event

pytestmark = pytest.mark.integration

_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'threatlog-query' AND datname = current_database()"
)
EVENTS = [logged_event(n) for n in range(20)]


def test_slow_queries_are_timeouts_and_leave_the_process_ready(stack: Stack, spawn: Spawner) -> None:
    fill(stack, EVENTS)
    api = start_query(spawn, stack, THREATLOG_POSTGRES_MAX_CONNECTIONS="4", THREATLOG_QUERY_STATEMENT_TIMEOUT="2s")
    wait_until(lambda: api.get("/api/v1/lag")[1]["stale"] is False, 20, "the lag is known")

    async def under_lock() -> list[tuple[int, str]]:
        connection = await asyncpg.connect(stack.postgres_dsn)
        async with connection.transaction():
            await connection.execute("LOCK TABLE logs IN ACCESS EXCLUSIVE MODE")
            asking = [
                asyncio.create_task(asyncio.to_thread(api.get, "/api/v1/logs/query", **HOUR, limit=str(n)))
                for n in range(1, 7)
            ]
            while not all(task.done() for task in asking):
                ready, _ = await asyncio.to_thread(api.get, "/readyz")
                assert ready == 200
                _, lag = await asyncio.to_thread(api.get, "/api/v1/lag")
                assert "PostgreSQL" not in (lag["detail"] or "")
                assert await connection.fetchval(_CONNECTIONS) <= 4
            answers = [task.result() for task in asking]
        await connection.close()
        return [(status, problem["code"]) for status, problem in answers]

    answers = run_now(under_lock())
    assert set(answers) <= {(504, "query_timeout"), (503, "busy")}
    assert (504, "query_timeout") in answers
    assert api.page()["total"] == len(EVENTS)
