"""Makes word filters of hours whose events came before there were any, or while they were turned off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ingest_gateway.contract import unix_us
from stream_app.filter_joining import ADD
from stream_app.partitions import ADVISORY_LOCK, Sessions
from stream_app.word_filter import WordFilter, columns_of
from stream_app.word_filters import by_turns

log = logging.getLogger(__name__)
# By then late events have mostly come; those that come later bring a filter of their own.
_SETTLED: Final = timedelta(hours=1)
_HOUR: Final = timedelta(hours=1)
# An hour is read in one transaction, which is to end.
_MOST_EVENTS: Final = 20_000_000
_EVENTS_PER_FILTER: Final = 40_000
_TIMEOUT_S: Final = 600.0

LACKING: Final = """
SELECT bucket FROM (
    SELECT bucket, sum(n) AS n FROM log_count_hour WHERE bucket < $1 GROUP BY 1
) AS counted LEFT JOIN (
    SELECT date_bin('1 hour', last_ts, 'epoch'::timestamptz) AS bucket, sum(events) AS n FROM log_word_filters
    WHERE last_ts < $1 GROUP BY 1
) AS filtered USING (bucket)
WHERE counted.n > 0 AND counted.n <= $2 AND counted.n IS DISTINCT FROM filtered.n AND bucket <> ALL($4::timestamptz[])
ORDER BY bucket DESC LIMIT $3"""
EVENTS: Final = "SELECT ts, message, attributes FROM logs WHERE ts >= $1 AND ts < $2 ORDER BY ts"
REMOVE: Final = "DELETE FROM log_word_filters WHERE last_ts >= $1 AND last_ts < $2"


@dataclass(frozen=True, slots=True)
class StoredText:
    """What is read again of a stored event."""

    ts_us: int
    message: bytes
    attributes: bytes | None

    @property
    def text_bytes(self) -> int:
        """Of message and attributes."""
        return len(self.message) + len(self.attributes or b"")


class FilterBuilding:
    """For a process that stores nothing meanwhile; several may."""

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now
        # Late events may come again and again; the next process makes those anew.
        self._made: set[datetime] = set()

    async def build(self, most_hours: int) -> int:
        """Makes those of so many hours, the newest first, and returns of how many. Raises StoreUnavailableError."""
        async with self._sessions.session() as connection:
            settled = self._now() - _SETTLED
            until = settled.replace(minute=0, second=0, microsecond=0)
            made = list(self._made)
            rows = await connection.fetch(LACKING, until, _MOST_EVENTS, most_hours, made, timeout=_TIMEOUT_S)
        for row in rows:
            await self._build_hour(row["bucket"])
            self._made.add(row["bucket"])
        return len(rows)

    async def _build_hour(self, hour: datetime) -> None:
        """In one snapshot, so that it adds up whatever is stored meanwhile:

        1. Remove the filters that are there. 2. Make others of all events that are there. A window that is stored
        later than the snapshot counts its events and adds its filter in one transaction: neither is seen here.
        """
        async with self._sessions.session() as connection, connection.transaction(isolation="repeatable_read"):
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", ADVISORY_LOCK + 5):
                return
            await connection.execute(REMOVE, hour, hour + _HOUR)  # 1
            events = 0
            async for texts in _texts(connection, hour):
                filters: list[WordFilter] = await by_turns(texts)
                await connection.execute(ADD, *columns_of(filters))  # 2
                events += len(texts)
        log.info("made the word filters of an hour", extra={"hour": hour.isoformat(), "events": events})


async def _texts(connection: Any, hour: datetime) -> AsyncIterator[list[StoredText]]:
    texts: list[StoredText] = []
    async for row in connection.cursor(EVENTS, hour, hour + _HOUR, prefetch=2_000, timeout=_TIMEOUT_S):
        attributes = row["attributes"]
        texts.append(
            StoredText(unix_us(row["ts"]), row["message"].encode(), None if attributes is None else attributes.encode())
        )
        if len(texts) == _EVENTS_PER_FILTER:
            yield texts
            texts = []
            await asyncio.sleep(0)
    if texts:
        yield texts
