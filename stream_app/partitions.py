"""Day partitions of `logs`: made ahead and on demand. Outside the window's transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from stream_app.outcomes import StoreBusyError

log = logging.getLogger(__name__)
# One worker at a time makes or fills (+ 3) partitions; `day_indexes` has + 1. They only have to be our own.
ADVISORY_LOCK = 0x7468_7265_6174  # "threat"
# A window does not wait for readers of the default partition: its rows may go there as well. ATTACH reads all of it.
_IN_PASSING = "SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = '1s'"
_TRY_AGAIN_AFTER = timedelta(minutes=1)
# All who read or write the default partition queue behind whoever waits for it.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
_MOVE_TIMEOUT_S = 1200.0
_EPOCH_DAY = date(1970, 1, 1)

EXISTING = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'logs'::regclass AND c.relname ~ '^logs_[0-9]{8}$'"""
FIRST_IN_DEFAULT = "SELECT min(ts) FROM logs_default WHERE ts >= $1 AND ts < $2"
# Functions of migration 0008: who stores owns no table.
_MAKE = "SELECT make_log_day($1)"
_LOCK_DEFAULT = "SELECT lock_default_logs()"
_MOVE = "SELECT move_log_day($1)"


class Sessions(Protocol):
    """What partitions need of the store. Raises StoreUnavailableError."""

    def session(self) -> AbstractAsyncContextManager[Any]: ...


def name_of(day: int) -> str:
    """The table of a day, counted since 1970."""
    return f"logs_{_EPOCH_DAY + timedelta(days=day):%Y%m%d}"


def day_of(name: str) -> int:
    """The day of a table made by `name_of`."""
    return (datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() - _EPOCH_DAY).days


def days_since_1970(moment: datetime) -> int:
    """The day of a moment, as partitions count them."""
    return (moment.date() - _EPOCH_DAY).days


def start_of(day: int) -> datetime:
    """The first moment of a day counted since 1970."""
    return datetime.combine(_EPOCH_DAY, datetime.min.time(), UTC) + timedelta(days=day)


class DayPartitions:
    """Which days have a partition, and the making of more of them, between two bounds around today."""

    def __init__(self, sessions: Sessions, days_back: int, days_ahead: int, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._days_back = days_back
        self._days_ahead = days_ahead
        self._now = now
        self._existing: set[int] = set()
        # Days that could not be made at once, and when to try again.
        self._put_off: dict[int, datetime] = {}

    def allowed(self) -> range:
        """The days that may have a partition; events of others go to the default partition."""
        today = days_since_1970(self._now())
        return range(today - self._days_back, today + self._days_ahead + 1)

    def put_off(self) -> Collection[int]:
        """Days within the bounds whose events go to the default partition for the time being."""
        return self._put_off.keys()

    async def ensure(self, days: set[int]) -> None:
        """Makes the partitions of these days that may have one and do not; once, without waiting for others.

        What cannot be made at once is put off, and its rows go to the default partition. Raises StoreUnavailableError.
        """
        if days <= self._existing:
            return
        allowed, now = self.allowed(), self._now()
        wanted = sorted(day for day in days - self._existing if day in allowed and self._put_off.get(day, now) <= now)
        if not wanted:
            return
        await self._look()
        for day in wanted:
            if day not in self._existing:
                await self._try(day)

    async def _look(self) -> None:
        async with self._sessions.session() as connection:
            self._existing = {day_of(row["relname"]) for row in await connection.fetch(EXISTING)}
        for day in self._existing & self._put_off.keys():
            del self._put_off[day]

    async def _try(self, day: int) -> None:
        try:
            async with self._sessions.session() as connection:
                made = await self._make_empty(connection, day)
            why = "the default partition holds rows of it"
        except StoreBusyError as error:
            made, why = False, str(error)
        if made:
            self._existing.add(day)
            self._put_off.pop(day, None)
        else:
            self._put_off[day] = self._now() + _TRY_AGAIN_AFTER
            log.warning("a day partition has to wait", extra={"table": name_of(day), "why": why})

    async def make_ahead(self) -> None:
        """Makes the partitions from today on, so that no window ever waits for one."""
        allowed = self.allowed()
        await self.ensure(set(range(allowed.stop - self._days_ahead - 1, allowed.stop)))

    async def _make_empty(self, connection: Any, day: int) -> bool:
        """Whether the day has its partition now. Rows that have to move first may be too many for a window to wait."""
        async with connection.transaction():
            await connection.execute(_IN_PASSING)
            await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
            made: bool = await connection.fetchval(_MAKE, start_of(day).date())
        if made:
            log.info("made a day partition", extra={"table": name_of(day)})
        return made

    async def make_of_default(self) -> None:
        """Makes the days that came within reach, or were put off, of what the default partition holds of them.

        For a connection that no window waits for. What others are in the way of is left to the next call. Raises
        StoreUnavailableError.
        """
        allowed = self.allowed()
        day = allowed.start
        try:
            while day < allowed.stop:
                async with self._sessions.session() as connection:
                    first = await connection.fetchval(FIRST_IN_DEFAULT, start_of(day), start_of(allowed.stop))
                    if first is None:
                        return
                    day = days_since_1970(first)
                    await self._make_of_default(connection, day)
                day += 1
        except StoreBusyError as error:
            log.warning("rows stay in the default partition", extra={"table": name_of(day), "why": str(error)})

    async def _make_of_default(self, connection: Any, day: int) -> None:
        """With all rows of the day, or not at all; windows may store further ones of it for most of the time."""
        async with connection.transaction():
            # Whoever would be in the way at the end is waited for before millions of rows are moved in vain.
            await connection.execute(_LOCK_TIMEOUT)
            await connection.execute(_LOCK_DEFAULT)
        async with connection.transaction():
            await connection.execute(_LOCK_TIMEOUT)
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", ADVISORY_LOCK + 3):
                return
            if not await connection.fetchval(_MOVE, start_of(day).date(), timeout=_MOVE_TIMEOUT_S):
                return
        log.info("made a day partition of rows in the default one", extra={"table": name_of(day)})
