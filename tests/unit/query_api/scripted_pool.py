"""Connections of a PostgreSQL that does what a test says, where a real one could not be made to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from query_api.postgres_sessions import PostgresSessions, SessionLimits

Row = Mapping[str, Any]
Answers = Callable[[str], Awaitable[Sequence[Row]]]


class ScriptedPool:
    """A pool, and its only connection: `answers` is asked for the rows of each statement."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.expired = 0
        self.terminated = 0
        self.released = 0

    async def acquire(self) -> ScriptedPool:
        return self

    async def release(self, connection: object) -> None:  # noqa: ARG002 - the pool's name
        self.released += 1

    async def expire_connections(self) -> None:
        self.expired += 1

    def terminate(self) -> None:
        self.terminated += 1

    async def fetch(self, text: str, *_arguments: object) -> Sequence[Row]:
        self.asked.append(text)
        return await self.answers(text)

    async def plan_once(self, is_wanted: bool) -> None: ...

    async def begin(self, statement_s: float | None) -> None:  # noqa: ARG002 - the connection's name
        await self.fetch("BEGIN")

    async def execute(self, text: str, *arguments: object) -> None:
        await self.fetch(text, *arguments)


async def nothing(_text: str) -> Sequence[Row]:
    """Every statement is answered at once, without rows."""
    return ()


async def silence(_text: str) -> Sequence[Row]:
    """No statement is ever answered."""
    await asyncio.Event().wait()
    return ()


def sessions_over(
    pool: ScriptedPool, connections: int = 1, wait_s: float = 0.02, statement_timeout_s: float = 5.0
) -> PostgresSessions:
    """Sessions with one connection, for which nobody waits long."""
    return PostgresSessions(cast(Any, pool), SessionLimits(connections, wait_s, statement_timeout_s))
