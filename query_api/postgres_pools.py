"""How many connections to PostgreSQL a query API has, and for what."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from query_api.postgres_sessions import PostgresSessions, SessionLimits, open_pool

if TYPE_CHECKING:
    from threatlog.process.server_settings import Postgres

# The longest wait for one's turn: who waits longer is better told so.
_WAIT_S: Final = 5.0
# The process's own looks are short, so waiting long for one of their connections says that they got no answer.
_OWN_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Connections:
    """All of one process: those of what is asked by users, and its own, for health, lag and figures.

    Apart, so that no number of slow queries makes a process look dead that only has much to do.
    """

    queries: PostgresSessions
    own: PostgresSessions

    async def close(self, timeout_s: float) -> None:
        """Closes both at once."""
        await asyncio.gather(self.queries.close(timeout_s), self.own.close(timeout_s))


async def connections(settings: Postgres, statement_timeout_s: float) -> Connections:
    """`max_connections` in all, each made when it is first needed; two of them, of few one, are the process's own."""
    own = 2 if settings.max_connections >= 4 else 1
    queries = settings.max_connections - own
    return Connections(
        PostgresSessions(
            await open_pool(settings, statement_timeout_s, queries),
            SessionLimits(queries, min(_WAIT_S, statement_timeout_s), statement_timeout_s),
        ),
        PostgresSessions(
            await open_pool(settings, statement_timeout_s, own), SessionLimits(own, _OWN_WAIT_S, statement_timeout_s)
        ),
    )


async def export_sessions(settings: Postgres, statement_timeout_s: float, size: int) -> PostgresSessions:
    """Connections of exports, beside those of queries: however many there are, no query waits for them."""
    pool = await open_pool(settings, statement_timeout_s, size)
    return PostgresSessions(pool, SessionLimits(size, statement_timeout_s, statement_timeout_s))
