"""What trouble with PostgreSQL is called, and when its connections are given up for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from query_api.reading import QueryTimeoutError, StoreBusyError, StoreUnavailableError
from query_api.statement import Statement
from tests.unit.query_api.scripted_pool import Row, ScriptedPool, nothing, sessions_over, silence

LOOK = Statement("SELECT 1")


def failing(error: BaseException) -> ScriptedPool:
    async def raising(text: str) -> Sequence[Row]:
        if text == LOOK.text:
            raise error
        return ()

    return ScriptedPool(raising)


async def test_a_wait_for_others_is_busy_and_costs_nobody_a_connection() -> None:
    pool = ScriptedPool(nothing)
    sessions = sessions_over(pool)
    async with sessions.session():
        with pytest.raises(StoreBusyError, match="in use by other requests"):
            async with sessions.session():
                pass
    await asyncio.sleep(0)
    assert (pool.expired, pool.terminated) == (0, 0)
    async with sessions.session() as again:
        await again.fetch(LOOK)


async def test_no_answer_to_the_first_statement_is_a_silent_server_whose_connections_are_given_up() -> None:
    pool = ScriptedPool(silence)
    with pytest.raises(StoreUnavailableError, match="did not answer"):
        async with sessions_over(pool).snapshot(0.02):
            pass
    await asyncio.sleep(0)
    assert (pool.expired, pool.terminated) == (1, 1)


async def test_a_server_that_answered_before_is_slow_and_not_gone() -> None:
    async def slow(text: str) -> Sequence[Row]:
        return await (silence if text == LOOK.text else nothing)(text)

    pool = ScriptedPool(slow)
    with pytest.raises(QueryTimeoutError):
        async with sessions_over(pool).snapshot(0.02) as snapshot:
            await snapshot.fetch(LOOK)
    await asyncio.sleep(0)
    assert (pool.expired, pool.terminated) == (0, 1)


@pytest.mark.parametrize(
    ("error", "is_expired"),
    [
        (asyncpg.InternalClientError("got result for unknown protocol state 3"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (ConnectionResetError(), True),
        (asyncpg.AdminShutdownError("terminating connection"), True),
        (asyncpg.SerializationError("canceling statement due to conflict with recovery"), False),
        (asyncpg.DeadlockDetectedError("deadlock detected"), False),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), False),
    ],
)
async def test_what_may_pass_is_unavailable(error: Exception, is_expired: bool) -> None:
    pool = failing(error)
    with pytest.raises(StoreUnavailableError):
        async with sessions_over(pool).snapshot() as snapshot:
            await snapshot.fetch(LOOK)
    await asyncio.sleep(0)
    assert pool.expired == is_expired


async def test_what_postgres_ended_is_a_timeout() -> None:
    with pytest.raises(QueryTimeoutError, match="after 5 s"):
        async with sessions_over(failing(asyncpg.QueryCanceledError("statement timeout"))).snapshot() as snapshot:
            await snapshot.fetch(LOOK)


async def test_our_own_mistake_stays_one() -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError):
        async with sessions_over(failing(asyncpg.PostgresSyntaxError("?"))).snapshot() as snapshot:
            await snapshot.fetch(LOOK)


async def test_nobody_waits_for_the_end_of_a_snapshot_but_who_needs_its_connection() -> None:
    may_end = asyncio.Event()

    async def ending_late(text: str) -> Sequence[Row]:
        if text == "COMMIT":
            await may_end.wait()
        return ()

    pool = ScriptedPool(ending_late)
    sessions = sessions_over(pool)
    async with sessions.snapshot() as snapshot:
        await snapshot.fetch(LOOK)
    await asyncio.sleep(0)
    assert (pool.asked, pool.released) == (["BEGIN", LOOK.text, "COMMIT"], 0)
    with pytest.raises(StoreBusyError):
        async with sessions.session():
            pass
    may_end.set()
    async with sessions.session() as again:
        await again.fetch(LOOK)
    assert (pool.released, pool.terminated) == (2, 0)


async def test_a_snapshot_that_cannot_be_ended_was_read_all_the_same_and_its_connection_is_given_up() -> None:
    async def lost_at_the_end(text: str) -> Sequence[Row]:
        if text == "COMMIT":
            raise ConnectionResetError
        return ()

    pool = ScriptedPool(lost_at_the_end)
    sessions = sessions_over(pool)
    async with sessions.snapshot() as snapshot:
        assert await snapshot.fetch(LOOK) == ()
    async with sessions.session() as again:
        await again.fetch(LOOK)
    assert (pool.released, pool.terminated) == (2, 1)
