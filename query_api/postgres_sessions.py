"""Sessions on PostgreSQL, each bounded in time, and asyncpg's errors in our words. This service's only asyncpg import.

Seen with asyncpg 0.32: a cancelled or timed-out command leaves its connection waiting for the server, also in
`Pool.release`, so after any trouble the connection is terminated first. A query after the server's farewell may raise
InternalClientError, which is none of its other errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg

from query_api.reading import QueryTimeoutError, StoreBusyError, StoreUnavailableError
from query_api.statement import Statement
from threatlog.process.postgres_connection import connect_keywords

if TYPE_CHECKING:
    from threatlog.process.server_settings import Postgres

    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

# What a session may take besides one statement's time: connecting, the way there and back.
GRACE_S: Final = 1.0
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_TROUBLE: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# Connection lost, rolled back for others' sake, no resources, operator intervention (57014 apart), system error; not
# yet migrated, or not with its rights; read-only; absent; not let in.
_TRANSIENT: Final = ("08", "40", "53", "57", "58", "42P01", "42703", "42501", "25006", "3D000", "28")
# After these the idle connections lead to a server that is gone, or that is no longer the one to ask.
_SERVER_LEFT: Final = ("08", "57", "25006")


class PlanningConnection(asyncpg.Connection):
    """Knows whether its session makes plans once for all arguments, or, as it does at first, anew for those given."""

    plans_once = False

    async def plan_once(self, is_wanted: bool) -> None:
        """From now on; a way there and back only where it was otherwise."""
        if is_wanted != self.plans_once:
            await self.execute(_plan_mode(is_wanted))
            self.plans_once = is_wanted

    async def begin(self, statement_s: float | None) -> None:
        """A transaction, with the bound of its statements and plans made anew: each way there and back counts."""
        bound = [] if statement_s is None else [f"SET LOCAL statement_timeout = {max(round(statement_s * 1000), 1)}"]
        await self.execute("; ".join([_BEGIN, *bound, *([_plan_mode(False)] if self.plans_once else [])]))
        self.plans_once = False


def _plan_mode(is_once: bool) -> str:
    return f"SET plan_cache_mode = force_{'generic' if is_once else 'custom'}_plan"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions at once, how long the next one waits for its turn, and how long one statement may take."""

    connections: int
    wait_s: float
    statement_timeout_s: float


class PostgresSnapshot:
    """Statements of one session, in a transaction or before it."""

    def __init__(self, connection: Connection) -> None:
        """Over a connection of its own, of a pool of PlanningConnection."""
        # The proxy hands on what it has not itself.
        self._connection = cast(PlanningConnection, connection)
        self.was_answered = False
        self.is_in_transaction = False

    async def begin(self, statement_s: float | None) -> None:
        """From here on all statements see the same state."""
        await self._connection.begin(statement_s)
        self.is_in_transaction = self.was_answered = True

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        """The rows of one statement, by column name."""
        await self._connection.plan_once(statement.is_planned_once)
        rows = await self._connection.fetch(statement.text, *statement.arguments)
        self.was_answered = True
        return rows

    async def portions(self, statement: Statement, rows: int) -> AsyncGenerator[Sequence[Any]]:
        """The rows of one statement, so many at a time; inside a transaction."""
        cursor = await self._connection.cursor(statement.text, *statement.arguments)
        while found := await cursor.fetch(rows):
            self.was_answered = True
            yield found

    async def execute(self, statement: Statement) -> None:
        """One statement whose rows are of no interest."""
        await self._connection.execute(statement.text, *statement.arguments)
        self.was_answered = True


class PostgresSessions:
    """Sessions over one pool, as many at once as it has connections."""

    def __init__(self, pool: Pool, limits: SessionLimits) -> None:
        self._pool = pool
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.connections)
        self._expiring: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def deadline_s(self) -> float:
        """How long a session may last once it has its turn."""
        return self._limits.statement_timeout_s + GRACE_S

    @contextlib.asynccontextmanager
    async def snapshot(
        self, within_s: float | None = None, statement_s: float | None = None
    ) -> AsyncIterator[PostgresSnapshot]:
        """A session whose statements all see the same state; `within_s` bounds it with the wait for its turn, and
        `statement_s` each of the statements.
        """
        async with self.session(within_s) as session:
            await session.begin(statement_s)
            yield session

    @contextlib.asynccontextmanager
    async def session(self, within_s: float | None = None) -> AsyncIterator[PostgresSnapshot]:
        """A connection until the deadline. Nothing that goes wrong leaves it in the pool."""
        now_s = asyncio.get_running_loop().time
        latest_s = None if within_s is None else now_s() + within_s
        await self._have_turn(now_s() + min(self._limits.wait_s, within_s or self._limits.wait_s))
        session: PostgresSnapshot | None = None
        is_ending = False
        try:
            async with asyncio.timeout_at(latest_s or now_s() + self.deadline_s):
                connection = await self._pool.acquire()
                session = PostgresSnapshot(connection)
                try:
                    yield session
                    is_ending = session.is_in_transaction
                except BaseException:
                    connection.terminate()
                    raise
                finally:
                    if not is_ending:
                        await self._pool.release(connection)
            if is_ending:
                self._end(connection)
        except _TROUBLE as error:
            raise self._translated(error, session) from error
        finally:
            if not is_ending:
                self._turns.release()

    def _end(self, connection: Connection) -> None:
        """Ends its transaction and gives it back. What was read was read: nobody waits for that way there and back."""
        ending = asyncio.create_task(self._commit(connection))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _commit(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(GRACE_S):
                await connection.execute("COMMIT")
        except BaseException as error:
            connection.terminate()
            if not isinstance(error, _TROUBLE):
                raise
        finally:
            try:
                await self._pool.release(connection)
            finally:
                self._turns.release()

    async def _have_turn(self, latest_s: float) -> None:
        """Waits outside the pool: a wait for others must not look like a PostgreSQL that is silent."""
        try:
            async with asyncio.timeout_at(latest_s):
                await self._turns.acquire()
        except TimeoutError:
            count = self._limits.connections
            raise StoreBusyError(f"all {count} connections to PostgreSQL are in use by other requests") from None

    def _translated(self, error: Exception, session: PostgresSnapshot | None) -> Exception:
        if isinstance(error, asyncpg.QueryCanceledError):
            return QueryTimeoutError(f"PostgreSQL ended the query after {self._limits.statement_timeout_s:g} s")
        if isinstance(error, asyncpg.PostgresError):
            return self._refused(error)
        if not isinstance(error, TimeoutError):
            self._expire()
            return StoreUnavailableError(f"PostgreSQL cannot be used: {type(error).__name__}: {error}")
        if session is None:
            return StoreUnavailableError(f"PostgreSQL did not accept a connection within {self.deadline_s:g} s")
        if session.was_answered:
            # It lives: a statement has its own limit there, and this one's statements together took too long.
            return QueryTimeoutError(f"the query's statements took longer than {self.deadline_s:g} s together")
        self._expire()
        return StoreUnavailableError(f"PostgreSQL did not answer within {self.deadline_s:g} s")

    def _refused(self, error: asyncpg.PostgresError) -> Exception:
        state = error.sqlstate or ""
        if not state.startswith(_TRANSIENT):
            return error
        if state == asyncpg.UndefinedTableError.sqlstate:
            return StoreUnavailableError("PostgreSQL has no tables yet; `threatlog migrate` makes them")
        if state.startswith(_SERVER_LEFT):
            self._expire()
        return StoreUnavailableError(f"PostgreSQL cannot be used: {type(error).__name__}: {error}")

    def _expire(self) -> None:
        self._expiring = asyncio.get_running_loop().create_task(self._pool.expire_connections())

    def sizes(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        idle = self._pool.get_idle_size()
        return self._pool.get_size() - idle, idle

    async def close(self, timeout_s: float) -> None:
        """Closes the connections; by force after the time is over."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout_s)
        except (TimeoutError, asyncpg.InterfaceError):
            self._pool.terminate()


async def open_pool(settings: Postgres, statement_timeout_s: float, size: int) -> Pool:
    """A pool that connects when it is first used. Every wait in it is bounded."""
    pool = asyncpg.create_pool(
        **connect_keywords(settings),
        min_size=0,
        max_size=size,
        command_timeout=statement_timeout_s + GRACE_S,
        connection_class=PlanningConnection,
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


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's RESET ALL: no session changes anything, and the way there and back would cost as a query."""
