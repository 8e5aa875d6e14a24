"""PostgreSQL for the query API: snapshots with deadlines, and asyncpg's errors in our words.

The only file of this service that imports asyncpg. Seen with asyncpg 0.32: a cancelled or timed-out command leaves its
connection waiting for the server, also in `Pool.release`, so after any trouble the connection is terminated first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import orjson

from ingest_gateway.contract import EPOCH, SEVERITIES
from query_api import sql
from query_api.absent_ids import AbsentIds
from query_api.page_search import event_of, find_newest, find_page, stored_until_of
from query_api.reading import (
    Counts,
    EventPage,
    LoggedEvent,
    ProcessFigures,
    QueryTimeoutError,
    StoredPosition,
    StoredUntil,
    StoreUnavailableError,
)
from query_api.search import PageRequest, SearchFilter
from query_api.source_indexed import SourceIndexed
from query_api.timeline import pieces
from stream_app.contract import Counters, combined

if TYPE_CHECKING:
    from threatlog.process.settings import Postgres

    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

ROLE: Final = "query"
# What a request may take besides its statement: waiting for a connection, the way there and back.
GRACE_S: Final = 1.0
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Connection lost, no resources, operator intervention (57014 apart), system error; not yet migrated; read-only; absent.
_TRANSIENT: Final = ("08", "53", "57", "58", "42P01", "42703", "25006", "3D000", "28")
_MILLISECOND: Final = timedelta(milliseconds=1)
# The first 48 bits of any UUID may say anything; this is in the year 9999.
_LAST_MILLISECOND: Final = 253_402_128_000_000


async def open_pool(settings: Postgres, statement_timeout_s: float) -> Pool:
    """A pool that connects when it is first used. Every wait in it is bounded."""
    pool = asyncpg.create_pool(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        database=settings.database,
        password=settings.password.get_secret_value() or None,
        min_size=0,
        max_size=settings.max_connections,
        timeout=settings.connect_timeout,
        command_timeout=statement_timeout_s + GRACE_S,
        # A statement is planned anew for its arguments: that prunes day partitions, and it is prepared once.
        statement_cache_size=512,
        reset=_keep,
        server_settings={
            "TimeZone": "UTC",
            "application_name": "threatlog-query",
            "statement_timeout": str(round(statement_timeout_s * 1000)),
            "idle_in_transaction_session_timeout": "30s",
            "plan_cache_mode": "force_custom_plan",
            "max_parallel_workers_per_gather": "0",
            "jit": "off",
        },
    )
    return await pool


@dataclass(frozen=True, slots=True)
class ReaderMemory:
    """What the reader remembers between requests; of no consequence but for speed."""

    absent_ids: AbsentIds
    source_indexed: SourceIndexed

    @classmethod
    def empty(cls, now_s: Callable[[], float]) -> ReaderMemory:
        """Nothing yet; with a clock that only grows."""
        return cls(AbsentIds(now_s), SourceIndexed(now_s))


def _counters(row: Mapping[str, Any]) -> Counters:
    """What a process counted that its role's row does not hold already."""
    counters: Counters = orjson.loads(row["counters"])
    return counters if row["folded"] is None else combined(counters, orjson.loads(row["folded"]), sign=-1)


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's RESET ALL: no session changes anything, and the way there and back would cost as a query."""


class PostgresSnapshot:
    """Statements of one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Over a connection whose transaction has begun."""
        self._connection = connection

    async def fetch(self, statement: sql.Statement) -> Sequence[Any]:
        """The rows of one statement, by column name."""
        return await self._connection.fetch(statement.text, *statement.arguments)


class PostgresReader:
    """EventReader, FiguresStore and PositionReader over a pool."""

    def __init__(self, pool: Pool, topic: str, statement_timeout_s: float, memory: ReaderMemory) -> None:
        self._pool = pool
        self._topic = topic
        self._deadline_s = statement_timeout_s + GRACE_S
        self._absent_ids = memory.absent_ids
        self._source_indexed = memory.source_indexed
        self._expiring: asyncio.Task[None] | None = None

    async def page(self, request: PageRequest) -> EventPage:
        """One page and the total, of one snapshot."""
        async with self._snapshot() as snapshot:
            indexed = await self._source_indexed.windows(snapshot) if request.filter.source is not None else ()
            return await find_page(snapshot, request, self._topic, indexed)

    async def stats(self, wanted: SearchFilter) -> Counts:
        """Counts by severity and source."""
        async with self._snapshot() as snapshot:
            rows = await snapshot.fetch(sql.stats(wanted, pieces(wanted.start, wanted.end), self._topic))
        (everything,) = (row for row in rows if row["kind"] == "all")
        severities = {SEVERITIES[row["severity"]]: row["n"] for row in rows if row["kind"] == "severity"}
        return Counts(
            total=everything["n"],
            by_severity={name: severities.get(name, 0) for name in reversed(SEVERITIES)},
            by_source={row["source"]: row["n"] for row in rows if row["kind"] == "source"},
            sources=everything["sources"],
            stored_until_us=stored_until_of(everything),
        )

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event with this id.

        1. At `ts`, or in the millisecond that the id begins with, as in every id that ThreatLog makes: an index hit.
        2. Without `ts`: in every partition, newest first. What was absent there is looked for only by 1 for a while,
           so that asking again and again for an event still on its way costs nothing.
        """
        start = ts or EPOCH + timedelta(milliseconds=min(identifier.int >> 80, _LAST_MILLISECOND))
        end = start + (timedelta(microseconds=1) if ts else _MILLISECOND)
        async with self._snapshot() as snapshot:
            (row,) = await snapshot.fetch(sql.stored_until(self._topic))
            found = await snapshot.fetch(sql.event(identifier, start, end))  # 1
        if found or ts is not None:
            return (event_of(found[0]) if found else None), stored_until_of(row)
        known_absent = self._absent_ids.get(identifier)
        return (None, known_absent) if known_absent is not None else await self._search_everywhere(identifier)  # 2

    async def _search_everywhere(self, identifier: UUID) -> tuple[LoggedEvent | None, StoredUntil]:
        try:
            await asyncio.wait_for(self._absent_ids.one_search_at_a_time.acquire(), self._deadline_s)
        except TimeoutError:
            raise QueryTimeoutError("others search by id alone now; `timestamp` makes it quick") from None
        try:
            async with self._snapshot() as snapshot:
                (row,) = await snapshot.fetch(sql.stored_until(self._topic))
                until = stored_until_of(row)
                for partition in await snapshot.fetch(sql.PARTITIONS):
                    if found := await snapshot.fetch(sql.event_in(partition["relname"], identifier)):
                        return event_of(found[0]), until
        finally:
            self._absent_ids.one_search_at_a_time.release()
        self._absent_ids.add(identifier, until)
        return None, until

    async def recent(self, severities: Sequence[int], latest: datetime, limit: int) -> EventPage:
        """The newest events that happened up to `latest`."""
        async with self._snapshot() as snapshot:
            (row,) = await snapshot.fetch(sql.stored_until(self._topic))
            found = await find_newest(snapshot, severities, latest, limit)
        return EventPage(len(found), found, has_more=False, stored_until_us=stored_until_of(row))

    async def events(self, keys: Sequence[tuple[datetime, UUID]]) -> Sequence[LoggedEvent]:
        """Those of these events that are stored, in no order."""
        async with self._snapshot() as snapshot:
            return [event_of(row) for row in await snapshot.fetch(sql.events(keys))]

    async def figures(self) -> tuple[int, Sequence[ProcessFigures]]:
        """All events ever stored, and every process's row."""
        async with self._snapshot() as snapshot:
            rows = await snapshot.fetch(sql.FIGURES)
        figures = [
            ProcessFigures(r["process"], r["role"], _counters(r), r["age_s"], r["silent_s"])
            for r in rows
            if r["process"] is not None
        ]
        return rows[0]["total"], figures

    async def report(self, process: str, started_at: datetime, counters: bytes) -> None:
        """Writes the row of this query API process."""
        statement = sql.report(process, ROLE, started_at, counters.decode())
        async with self._session() as connection:
            await connection.execute(statement.text, *statement.arguments)

    async def positions(self) -> Sequence[StoredPosition]:
        """How far each partition is stored."""
        async with self._snapshot() as snapshot:
            rows = await snapshot.fetch(sql.positions(self._topic))
        return [
            StoredPosition(r["partition"], r["next_offset"], r["stored_until"], r["worker"], r["silent_s"])
            for r in rows
        ]

    def pool_sizes(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        idle = self._pool.get_idle_size()
        return self._pool.get_size() - idle, idle

    async def ping(self, timeout_s: float) -> None:
        """Returns when PostgreSQL answers and its tables are there. Raises StoreUnavailableError."""
        async with self._snapshot(timeout_s) as snapshot:
            await snapshot.fetch(sql.stored_until(self._topic))

    @contextlib.asynccontextmanager
    async def _snapshot(self, deadline_s: float | None = None) -> AsyncIterator[PostgresSnapshot]:
        async with self._session(deadline_s) as connection:
            await connection.execute(_BEGIN)
            yield PostgresSnapshot(connection)
            await connection.execute("COMMIT")

    @contextlib.asynccontextmanager
    async def _session(self, deadline_s: float | None = None) -> AsyncIterator[Connection]:
        """A connection until the deadline. Nothing that goes wrong leaves it in the pool."""
        deadline_s = deadline_s or self._deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                connection = await self._pool.acquire()
                try:
                    yield connection
                except BaseException:
                    connection.terminate()
                    raise
                finally:
                    await self._pool.release(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise self._translated(error, deadline_s) from error

    def _translated(self, error: Exception, deadline_s: float) -> Exception:
        if isinstance(error, asyncpg.QueryCanceledError):
            return QueryTimeoutError(f"PostgreSQL ended the query after {deadline_s - GRACE_S:g} s")
        if isinstance(error, asyncpg.PostgresError):
            if not (error.sqlstate or "").startswith(_TRANSIENT):
                return error
            if error.sqlstate == asyncpg.UndefinedTableError.sqlstate:
                return StoreUnavailableError("PostgreSQL has no tables yet; `threatlog migrate` makes them")
        # A failover, a shutdown, a silence: the idle connections lead to the same server.
        self._expiring = asyncio.get_running_loop().create_task(self._pool.expire_connections())
        if isinstance(error, TimeoutError):
            return StoreUnavailableError(f"PostgreSQL did not answer within {deadline_s:g} s")
        return StoreUnavailableError(f"PostgreSQL cannot be used: {type(error).__name__}: {error}")

    async def close(self, timeout_s: float) -> None:
        """Closes the connections; by force after the time is over."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout_s)
        except (TimeoutError, asyncpg.InterfaceError):
            self._pool.terminate()
