"""The index on (source, ts) of day partitions that have closed, for queries of a rare source."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from stream_app.partitions import ADVISORY_LOCK, EXISTING, Sessions, day_of, days_since_1970

log = logging.getLogger(__name__)
# A partition is closed when its day has been over for this long: most late events have come.
CLOSED_AFTER: Final = timedelta(hours=1)
_TIMEOUT_S: Final = 3600.0

WITH_SOURCE_INDEX: Final = """
SELECT tablename FROM pg_indexes WHERE schemaname = current_schema() AND indexname ~ '_source_ts$'"""
# A build that was cut off leaves an index that is never used and never finished.
INVALID_INDEXES: Final = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relname ~ '^logs_[0-9]{8}_source_ts$'"""


class DayIndexes:
    """Builds them, for whoever owns the tables: PostgreSQL lets nobody else, and not in a function either."""

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now

    async def build(self) -> None:
        """Builds what is missing, unless another process is at it. Raises StoreUnavailableError."""
        async with self._sessions.session() as connection:
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK + 1):
                try:
                    await self._build(connection)
                finally:
                    await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK + 1)

    async def _build(self, connection: Any) -> None:
        # Concurrently: events go on being stored meanwhile. It waits for all who read, and may take its time.
        await connection.execute("SET lock_timeout = 0")
        for row in await connection.fetch(INVALID_INDEXES):
            await connection.execute(f"DROP INDEX CONCURRENTLY {row['relname']}", timeout=_TIMEOUT_S)
        last_closed = days_since_1970(self._now() - CLOSED_AFTER) - 1
        indexed = {row["tablename"] for row in await connection.fetch(WITH_SOURCE_INDEX)}
        for row in await connection.fetch(EXISTING):
            name = row["relname"]
            if name not in indexed and day_of(name) <= last_closed:
                statement = f"CREATE INDEX CONCURRENTLY {name}_source_ts ON {name} (source, ts)"
                await connection.execute(statement, timeout=_TIMEOUT_S)
                log.info("indexed a closed partition", extra={"table": name})
        await connection.execute("RESET lock_timeout")
