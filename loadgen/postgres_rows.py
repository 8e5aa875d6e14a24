"""Reads a run's rows and dead letters from PostgreSQL, for the oracle; the only file that imports asyncpg."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import asyncpg

from loadgen.oracle_events import SEVERITIES, content_hash

_ROWS: Final = """
    SELECT id::text, (extract(epoch FROM ts) * 1000)::bigint AS unix_ms, severity, source, message, attributes::text
    FROM logs WHERE ts BETWEEN $1 AND $2 AND starts_with(source, $3)"""
_DEAD: Final = "SELECT payload, count(*) AS n FROM dead_letters WHERE stored_at >= $1 GROUP BY 1"
_TIMEOUT_S: Final = 60.0
_PREFETCHED: Final = 5_000


class RowsUnavailableError(Exception):
    """PostgreSQL cannot be asked; the text says why."""


class PostgresRows:
    """One connection."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, dsn: str) -> PostgresRows:
        """Connects. Raises RowsUnavailableError."""
        try:
            return cls(await asyncpg.connect(dsn, timeout=10, command_timeout=_TIMEOUT_S))
        except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise RowsUnavailableError(f"PostgreSQL: {type(error).__name__}: {error}") from None

    async def stored(self, first_ms: int, last_ms: int, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Id and content hash of each row of the run's sources."""
        async with self._connection.transaction(readonly=True):
            cursor = self._connection.cursor(_ROWS, _moment(first_ms), _moment(last_ms), prefix, prefetch=_PREFETCHED)
            async for row in cursor:
                parts = (row[0], str(row[1]), SEVERITIES[row[2]], row[3], row[4], row[5] or "")
                yield row[0], content_hash(parts)

    async def dead(self, first_ms: int) -> AsyncIterator[tuple[bytes, int]]:
        """The bytes of each dead letter since the run began, and how often they are there."""
        async with self._connection.transaction(readonly=True):
            async for row in self._connection.cursor(_DEAD, _moment(first_ms), prefetch=_PREFETCHED):
                yield row["payload"] or b"", row["n"]

    async def close(self) -> None:
        """At once."""
        self._connection.terminate()


def _moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)
