"""Removes events past `storage.retention_days`, with their counts: whole days, and rows of the default partition."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stream_app.outcomes import StoreBusyError
from stream_app.partitions import ADVISORY_LOCK, EXISTING, Sessions, day_of, days_since_1970, name_of, start_of

log = logging.getLogger(__name__)
# All who read or write events queue behind whoever waits for the lock of a drop: at most this long.
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '1s'"
# A day of minutes of many thousand sources.
_COUNTS_TIMEOUT_S: Final = 1200.0
# The default partition has no index that leads to what came long ago.
_DEFAULT_EVERY: Final = timedelta(hours=1)
_ROWS_A_TURN: Final = 20_000

_COUNTS_OF_DAY: Final = (
    "DELETE FROM log_rollup_minute WHERE bucket >= $1 AND bucket < $2",
    "DELETE FROM log_rollup_hour WHERE bucket >= $1 AND bucket < $2",
    "DELETE FROM log_count_minute WHERE bucket >= $1 AND bucket < $2",
    "DELETE FROM log_foreign_ids WHERE bucket >= $1 AND bucket < $2",
    "DELETE FROM log_word_filters WHERE last_ts >= $1 AND last_ts < $2",
)
_EVENTS_OF_DAY: Final = """
WITH gone AS (DELETE FROM log_count_hour WHERE bucket >= $1 AND bucket < $2 RETURNING n)
SELECT coalesce(sum(n), 0)::bigint FROM gone"""
_NOTE: Final = "INSERT INTO retention_drops (first_ts, last_ts, events) VALUES ($1, $2, $3)"

# Rows and their counts in one statement. Counts are locked in the order in which workers lock them.
_REMOVE_OLD_ROWS: Final = """
WITH gone AS (
    DELETE FROM logs_default WHERE ctid = ANY(ARRAY(SELECT ctid FROM logs_default WHERE received_at < $1 LIMIT $2))
    RETURNING ts, severity, source
), cells AS (
    SELECT date_trunc('minute', ts) AS minute, severity, source, count(*) AS n FROM gone GROUP BY 1, 2, 3
), minutes AS (
    INSERT INTO log_rollup_minute AS t (bucket, severity, source, n)
    SELECT minute, severity, source, -n FROM cells ORDER BY 1, 2, 3
    ON CONFLICT (bucket, severity, source) DO UPDATE SET n = t.n + excluded.n RETURNING bucket, severity, source, n
), hours AS (
    INSERT INTO log_rollup_hour AS t (bucket, severity, source, n)
    SELECT date_trunc('hour', minute), severity, source, -sum(n) FROM cells GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (bucket, severity, source) DO UPDATE SET n = t.n + excluded.n RETURNING bucket, severity, source, n
), all_minutes AS (
    INSERT INTO log_count_minute AS t (bucket, severity, n)
    SELECT minute, severity, -sum(n) FROM cells GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (bucket, severity) DO UPDATE SET n = t.n + excluded.n RETURNING bucket, severity, n
), all_hours AS (
    INSERT INTO log_count_hour AS t (bucket, severity, n)
    SELECT date_trunc('hour', minute), severity, -sum(n) FROM cells GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (bucket, severity) DO UPDATE SET n = t.n + excluded.n RETURNING bucket, severity, n
)
SELECT 'log_rollup_minute' AS counted, bucket, severity, source, n FROM minutes
UNION ALL SELECT 'log_rollup_hour', bucket, severity, source, n FROM hours
UNION ALL SELECT 'log_count_minute', bucket, severity, NULL, n FROM all_minutes
UNION ALL SELECT 'log_count_hour', bucket, severity, NULL, n FROM all_hours
UNION ALL SELECT 'first', min(ts), NULL, NULL, count(*) FROM gone
UNION ALL SELECT 'last', max(ts), NULL, NULL, 0 FROM gone"""
# What has come to nothing goes: a source that is gone is not shown with 0.
_BY_SOURCE: Final = (
    "DELETE FROM {} AS t USING unnest($1::timestamptz[], $2::smallint[], $3::text[]) AS v (bucket, severity, source)"
    " WHERE t.bucket = v.bucket AND t.severity = v.severity AND t.source = v.source AND t.n = 0"
)
_BY_SEVERITY: Final = (
    "DELETE FROM {} AS t USING unnest($1::timestamptz[], $2::smallint[]) AS v (bucket, severity)"
    " WHERE t.bucket = v.bucket AND t.severity = v.severity AND t.n = 0"
)
_REMOVE_EMPTY: Final = {
    "log_rollup_minute": (_BY_SOURCE, ("bucket", "severity", "source")),
    "log_rollup_hour": (_BY_SOURCE, ("bucket", "severity", "source")),
    "log_count_minute": (_BY_SEVERITY, ("bucket", "severity")),
    "log_count_hour": (_BY_SEVERITY, ("bucket", "severity")),
}
# They are of more events now than there are: nothing is found by them any more.
_REMOVE_FILTERS: Final = """
DELETE FROM log_word_filters USING unnest($1::timestamptz[]) AS hour
WHERE last_ts >= hour AND last_ts < hour + interval '1 hour'"""


def expired_days(existing: list[str], retention_days: int, now: datetime) -> list[int]:
    """The days of these tables, since 1970, that have been over for longer than the retention; oldest first."""
    oldest_kept = days_since_1970(now) - retention_days
    return sorted(day for day in map(day_of, existing) if day < oldest_kept) if retention_days else []


class Retention:
    """For whoever owns the tables; 0 days keep everything."""

    def __init__(self, sessions: Sessions, retention_days: int, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._retention_days = retention_days
        self._now = now
        self._default_due = datetime.min.replace(tzinfo=UTC)

    async def enforce(self) -> None:
        """Removes what is past the retention. What others are in the way of is left to the next call.

        Raises StoreUnavailableError.
        """
        if not self._retention_days:
            return
        async with self._sessions.session() as connection:
            existing = [row["relname"] for row in await connection.fetch(EXISTING)]
        for day in expired_days(existing, self._retention_days, self._now()):
            try:
                await self._drop(day)
            except StoreBusyError as error:
                log.warning("a day past its retention stays for now", extra={"table": name_of(day), "why": str(error)})
        if self._now() >= self._default_due:
            await self._clear_default()
            self._default_due = self._now() + _DEFAULT_EVERY

    async def _drop(self, day: int) -> None:
        """The day's counts go with its rows, or nothing does:

        1. Remove the counts. It may take a while, and is in nobody's way: windows have left this day behind.
        2. Lock the table of all days. Late events may have come in between; none can any more.
        3. Remove what they counted. 4. Drop the partition, and note how much went.
        """
        start, end = start_of(day), start_of(day + 1)
        async with self._sessions.session() as connection, connection.transaction():
            await connection.execute(_LOCK_TIMEOUT)
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", ADVISORY_LOCK + 4):
                return
            if not await connection.fetchval("SELECT to_regclass($1)", name_of(day)):
                return
            events = await _remove_counts(connection, start, end)  # 1
            await connection.execute("LOCK TABLE logs, logs_default IN ACCESS EXCLUSIVE MODE")  # 2
            events += await _remove_counts(connection, start, end)  # 3
            await connection.execute(f"DROP TABLE {name_of(day)}")  # 4
            await connection.execute(_NOTE, start, end - timedelta(microseconds=1), events)
        log.info("dropped a day past its retention", extra={"table": name_of(day), "events": events})

    async def _clear_default(self) -> None:
        """By the time of receipt: an event with a wrong clock is kept as long as any other."""
        oldest_kept = start_of(days_since_1970(self._now()) - self._retention_days)
        removed = _ROWS_A_TURN
        while removed == _ROWS_A_TURN:
            async with self._sessions.session() as connection, connection.transaction():
                await connection.execute(_LOCK_TIMEOUT)
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", ADVISORY_LOCK + 4):
                    return
                removed = await _remove_rows(connection, oldest_kept)
            if removed:
                log.info("removed old events from the default partition", extra={"events": removed})


async def _remove_rows(connection: Any, before: datetime) -> int:
    """Removes some of the rows that were received before then. Returns how many."""
    found = await connection.fetch(_REMOVE_OLD_ROWS, before, _ROWS_A_TURN)
    for table, (statement, key) in _REMOVE_EMPTY.items():
        empty = [row for row in found if row["counted"] == table and not row["n"]]
        await connection.execute(statement.format(table), *([row[name] for row in empty] for name in key))
    hours = [row["bucket"] for row in found if row["counted"] == "log_count_hour"]
    await connection.execute(_REMOVE_FILTERS, hours)
    first, last = (next(row for row in found if row["counted"] == edge) for edge in ("first", "last"))
    if first["n"]:
        await connection.execute(_NOTE, first["bucket"], last["bucket"], first["n"])
    removed: int = first["n"]
    return removed


async def _remove_counts(connection: Any, start: datetime, end: datetime) -> int:
    for statement in _COUNTS_OF_DAY:
        await connection.execute(statement, start, end, timeout=_COUNTS_TIMEOUT_S)
    removed: int = await connection.fetchval(_EVENTS_OF_DAY, start, end)
    return removed
