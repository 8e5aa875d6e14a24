"""Day partitions of `logs`: made ahead and on demand, indexed when they close. Outside the window's transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

log = logging.getLogger(__name__)
# One worker at a time makes or indexes partitions; the number only has to be our own.
_ADVISORY_LOCK = 0x7468_7265_6174  # "threat"
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
# A partition is closed when its day has been over for this long: most late events have come.
CLOSED_AFTER = timedelta(hours=1)
_EPOCH_DAY = date(1970, 1, 1)

EXISTING = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'logs'::regclass AND c.relname ~ '^logs_[0-9]{8}$'"""
WITH_SOURCE_INDEX = "SELECT tablename FROM pg_indexes WHERE schemaname = current_schema() AND indexname ~ '_source_ts$'"
# A build that was cut off leaves an index that is never used and never finished.
INVALID_INDEXES = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relname ~ '^logs_[0-9]{8}_source_ts$'"""


class Sessions(Protocol):
    """What partitions need of the store. Raises StoreUnavailableError."""

    def session(self) -> AbstractAsyncContextManager[Any]: ...


def name_of(day: int) -> str:
    """The table of a day, counted since 1970."""
    return f"logs_{_EPOCH_DAY + timedelta(days=day):%Y%m%d}"


def day_of(name: str) -> int:
    """The day of a table made by `name_of`."""
    return (datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() - _EPOCH_DAY).days


class DayPartitions:
    """Which days have a partition, and the making of more of them, between two bounds around today."""

    def __init__(self, sessions: Sessions, days_back: int, days_ahead: int, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._days_back = days_back
        self._days_ahead = days_ahead
        self._now = now
        self._existing: set[int] = set()

    def allowed(self) -> range:
        """The days that may have a partition; events of others go to the default partition."""
        today = (self._now().date() - _EPOCH_DAY).days
        return range(today - self._days_back, today + self._days_ahead + 1)

    async def ensure(self, days: set[int]) -> None:
        """Makes the partitions of these days that may have one and do not. Raises StoreUnavailableError."""
        if days <= self._existing:
            return
        allowed = self.allowed()
        wanted = sorted(day for day in days - self._existing if day in allowed)
        if not wanted:
            return
        async with self._sessions.session() as connection:
            self._existing = {day_of(row["relname"]) for row in await connection.fetch(EXISTING)}
            for day in wanted:
                if day not in self._existing:
                    await self._create(connection, day)
                    self._existing.add(day)

    async def make_ahead(self) -> None:
        """Makes the partitions from today on, so that no window ever waits for one."""
        allowed = self.allowed()
        await self.ensure(set(range(allowed.stop - self._days_ahead - 1, allowed.stop)))

    async def _create(self, connection: Any, day: int) -> None:
        """Rows of this day that came while it was out of reach move over in the transaction that attaches it."""
        name = name_of(day)
        start, end = f"{_EPOCH_DAY + timedelta(days=day)} 00:00Z", f"{_EPOCH_DAY + timedelta(days=day + 1)} 00:00Z"
        async with connection.transaction():
            await connection.execute(_LOCK_TIMEOUT)
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
            if await connection.fetchval("SELECT to_regclass($1)", name) is not None:
                return
            await connection.execute("LOCK TABLE logs_default IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute(f"CREATE TABLE {name} (LIKE logs INCLUDING DEFAULTS)")
            moved = await connection.execute(
                # The name is a date and the bounds are dates: nothing of a sender's is in this text.
                f"WITH moved AS (DELETE FROM logs_default WHERE ts >= '{start}' AND ts < '{end}' RETURNING *)"  # noqa: S608
                f" INSERT INTO {name} SELECT * FROM moved"
            )
            await connection.execute(
                f"ALTER TABLE logs ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"
            )
        log.info("made a day partition", extra={"table": name, "moved": moved})

    async def index_closed(self) -> None:
        """Gives closed partitions their index on (source, ts), for queries of a rare source; one worker at a time."""
        last_closed = ((self._now() - CLOSED_AFTER).date() - _EPOCH_DAY).days - 1
        async with self._sessions.session() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ADVISORY_LOCK + 1):
                return
            try:
                for row in await connection.fetch(INVALID_INDEXES):
                    await connection.execute(f"DROP INDEX {row['relname']}")
                indexed = {row["tablename"] for row in await connection.fetch(WITH_SOURCE_INDEX)}
                for row in await connection.fetch(EXISTING):
                    name = row["relname"]
                    if name not in indexed and day_of(name) <= last_closed:
                        # Concurrently: late events go on being stored meanwhile. It may take its time.
                        await connection.execute(
                            f"CREATE INDEX CONCURRENTLY {name}_source_ts ON {name} (source, ts)", timeout=3600.0
                        )
                        log.info("indexed a closed partition", extra={"table": name})
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", _ADVISORY_LOCK + 1)
