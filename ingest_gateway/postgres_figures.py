"""Producers' figures in PostgreSQL. This service's only asyncpg import, with the errors in our words.

Seen with asyncpg 0.32: no time-out unless told, and a connection whose command timed out waits for the server, so after
any trouble it is terminated and made anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from ingest_gateway.producer_accounts import Counters
from threatlog.process.postgres_connection import connect_keywords

if TYPE_CHECKING:
    from threatlog.process.server_settings import Postgres

_COMMAND_TIMEOUT_S: Final = 2.0
_TROUBLE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_WRITE: Final = """
    INSERT INTO producer_figures (key_id, gateway, counters)
    SELECT found.key_id, $1, found.counters::jsonb FROM unnest($2::text[], $3::text[]) AS found (key_id, counters)
    ON CONFLICT (key_id, gateway) DO UPDATE SET counters = excluded.counters, updated_at = clock_timestamp()"""
_OWN: Final = "SELECT key_id, counters FROM producer_figures WHERE gateway = $1"
_OTHERS: Final = "SELECT counters FROM producer_figures WHERE key_id = $1 AND gateway <> $2"
_DUPLICATES: Final = "SELECT n FROM producer_duplicates WHERE key_id = $1"


class FiguresUnavailableError(Exception):
    """PostgreSQL cannot be asked now; the text says why."""


class PostgresFigures:
    """Those of the gateway that is named (host:port). One connection, opened anew after any trouble."""

    def __init__(self, settings: Postgres, gateway: str) -> None:
        self._settings = settings
        self._gateway = gateway
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()

    async def own(self) -> dict[str, Counters]:
        """What an earlier life of this gateway wrote, by key. Raises FiguresUnavailableError, as all methods do."""
        async with self._session() as connection:
            return {row["key_id"]: json.loads(row["counters"]) for row in await connection.fetch(_OWN, self._gateway)}

    async def write(self, counters: Mapping[str, Counters]) -> None:
        """Absolute counters by key, so that a repeat changes nothing."""
        texts = [json.dumps(dict(found)) for found in counters.values()]
        async with self._session() as connection:
            await connection.execute(_WRITE, self._gateway, list(counters), texts)

    async def of_key(self, key_id: str) -> tuple[list[Counters], int]:
        """A key's counters at the other gateways, and how many of its events were stored already."""
        async with self._session() as connection:
            rows = await connection.fetch(_OTHERS, key_id, self._gateway)
            duplicates = await connection.fetchval(_DUPLICATES, key_id)
        return [json.loads(row["counters"]) for row in rows], duplicates or 0

    async def close(self) -> None:
        """At once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(
                        **connect_keywords(self._settings),
                        command_timeout=_COMMAND_TIMEOUT_S,
                        server_settings={"TimeZone": "UTC", "application_name": "threatlog-gateway"},
                    )
                yield self._connection
            except _TROUBLE as error:
                await self.close()
                raise FiguresUnavailableError(f"PostgreSQL cannot be used: {type(error).__name__}: {error}") from error
            except asyncio.CancelledError:
                await self.close()
                raise
