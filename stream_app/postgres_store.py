"""PostgreSQL: the window's transaction that makes delivery exactly-once. The only file that imports asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import asyncpg

from stream_app import statements as sql
from stream_app.copy_source import in_one_piece
from stream_app.dead_letter import DeadLetter
from stream_app.frozen_workers import FROZEN_AFTER_S, ending_frozen
from stream_app.outcomes import (
    ConfigurationFaultError,
    OffsetsMovedError,
    StoreBusyError,
    Stored,
    StoreUnavailableError,
    Window,
)
from stream_app.prepare import LOG_COLUMNS, Cell, Row, cells_of, copy_payload
from stream_app.producers import repeated_by_producer
from stream_app.sqlstates import is_busy, is_refusal, is_transient
from stream_app.word_filter import columns_of, stored_filters
from threatlog.process.postgres_connection import connect_keywords

if TYPE_CHECKING:
    from threatlog.process.server_settings import Postgres

    Connection = asyncpg.Connection[asyncpg.Record]

# asyncpg 0.32 has no time-out of its own, and asyncio.wait_for around it waits for the server all the same.
COMMAND_TIMEOUT_S = 30.0
# Above what a slow disk makes workers wait for the counts they share; within two of them a frozen one is found.
LOCK_TIMEOUT_S = 10.0
APPLICATION = "threatlog-stream"
_SERVER_SETTINGS = {
    "TimeZone": "UTC",
    "application_name": APPLICATION,
    # A worker that froze between two statements must not hold its locks for ever; in a COPY: see frozen_workers.
    "idle_in_transaction_session_timeout": "30s",
    # A host that vanished.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# asyncpg 0.32 tells its kinds of InterfaceError apart only by their words; the others are mistakes of the caller.
_CONNECTION_GONE = ("connection is closed", "another operation is cancelling")
_arrival_of = attrgetter("arrival")
_letter_columns = attrgetter("partition", "offset", "reason", "detail", "key", "payload", "appended_ms", "headers")


class _DuplicateKeysError(Exception):
    """COPY met a (ts, id) that is stored already; the window is redone through the staging table."""


class _RefusedRowError(Exception):
    """PostgreSQL refused a row that our checks let through."""


class PostgresStore:
    """One connection, opened when it is needed and opened anew after any trouble."""

    def __init__(
        self,
        settings: Postgres,
        topic: str,
        worker: str,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        frozen_after_s: float = FROZEN_AFTER_S,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._worker = worker
        self._server_settings = _SERVER_SETTINGS | {"lock_timeout": f"{lock_timeout_s * 1000:.0f}ms"}
        self._frozen_after_s = frozen_after_s
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def positions(self, beginnings: Mapping[int, int]) -> dict[int, int]:
        """The stored offsets of these partitions; a new one starts at its beginning. Raises StoreUnavailableError."""
        partitions, offsets = list(beginnings), list(beginnings.values())
        async with self._session() as connection, connection.transaction():
            await connection.execute(sql.CREATE_OFFSETS, self._topic, partitions, offsets, self._worker)
            found = await connection.fetch(sql.READ_OFFSETS, self._topic, partitions)
        return {row["partition"]: row["next_offset"] for row in found}

    async def write(self, window: Window) -> Stored:
        """Stores one window whole, or nothing of it. Raises OffsetsMovedError or StoreUnavailableError."""
        async with self._session() as connection:
            try:
                return await self._written(connection, window)
            except asyncpg.LockNotAvailableError:
                pid = connection.get_server_pid()
                async with ending_frozen(pid, APPLICATION, self._frozen_after_s, self._connect):
                    return await self._written(connection, window)

    async def _written(self, connection: Connection, window: Window) -> Stored:
        try:
            return await self._transaction(connection, window, staged=False)
        except (_DuplicateKeysError, _RefusedRowError):
            return await self._transaction(connection, window, staged=True)

    async def _transaction(self, connection: Connection, window: Window, *, staged: bool) -> Stored:
        """The order that makes delivery exactly-once:

        1. Lock the stored offsets of the window's partitions. Other offsets than the window was cut for: nothing is
           written. This turns away redeliveries, and a worker that lost the partition.
        2. COPY the rows. A repeated (ts, id) fails it; then the window is redone through the staging table.
        3. Write the dead letters and the losses: a record is a row, a dead letter, or counted as lost; never nothing.
        4. Move the offsets, and write the word filters: a search that goes by them must find the rows they stand for.
        5. Note where events lie that their id does not lead to, so that a search by id finds them.
        6. Add the rows really inserted to the rollups; last, since other workers wait for the same cells.
        COMMIT makes all of it true at once. Only then is Redis told, and only after that is Kafka acknowledged.
        """
        async with connection.transaction():
            await self._lock_offsets(connection, window.fenced.starts)  # 1
            rows: Sequence[Row] = window.prepared.rows
            refused: Sequence[DeadLetter] = ()
            if rows and staged:
                rows, refused = await self._insert_staged(connection, rows)  # 2
            elif rows:
                await self._copy(connection, rows)  # 2
            dead_letters = [*window.prepared.dead_letters, *refused]
            await self._write_dead_letters(connection, dead_letters, window)  # 3
            await self._move_offsets(connection, window, rows)  # 4
            if hours := window.prepared.foreign_id_hours:
                await connection.execute(sql.ADD_FOREIGN_ID_HOURS, sorted(hours))  # 5
            minutes, totals = await self._add_to_rollups(connection, rows)  # 6
        duplicates = len(window.prepared.rows) - len(rows) - len(refused)
        return Stored(rows, duplicates, len(dead_letters), minutes, totals)

    async def _lock_offsets(self, connection: Connection, expected: Mapping[int, int]) -> None:
        found = await connection.fetch(sql.LOCK_OFFSETS, self._topic, list(expected))
        stored = {row["partition"]: row["next_offset"] for row in found}
        if stored != dict(expected):
            raise OffsetsMovedError(stored)

    async def _copy(self, connection: Connection, rows: Sequence[Row], table: str = "logs") -> None:
        try:
            source, columns = in_one_piece(copy_payload(rows)), list(LOG_COLUMNS)
            await connection.copy_to_table(
                table, source=source, columns=columns, format="binary", timeout=COMMAND_TIMEOUT_S
            )
        except asyncpg.UniqueViolationError as error:
            raise _DuplicateKeysError from error
        except asyncpg.PostgresError as error:
            if is_refusal(error.sqlstate):
                raise _RefusedRowError from error
            raise

    async def _insert_staged(self, connection: Connection, rows: Sequence[Row]) -> tuple[list[Row], list[DeadLetter]]:
        await connection.execute(sql.CREATE_STAGING)
        # Of two rows with one (ts, id) the first to come is kept.
        rows = sorted(rows, key=_arrival_of)
        refused = await self._stage(connection, rows)
        found = await connection.fetch(sql.INSERT_STAGED)
        inserted = {(row["ts_us"], row["id"].bytes) for row in found}
        kept: list[Row] = []
        repeated: list[Row] = []
        for row in rows:
            (kept if (row.ts_us, row.id) in inserted else repeated).append(row)
            inserted.discard((row.ts_us, row.id))
        await connection.execute(sql.ADD_DUPLICATES, *repeated_by_producer(r for r in repeated if r not in refused))
        return kept, [row.as_dead_letter() for row in refused]

    async def _stage(self, connection: Connection, rows: Sequence[Row]) -> list[Row]:
        """Copies rows into the staging table, halving them around any that PostgreSQL refuses; returns the refused."""
        try:
            async with connection.transaction():
                await self._copy(connection, rows, "staged_logs")
        except _RefusedRowError:
            if len(rows) == 1:
                return list(rows)
            middle = len(rows) // 2
            return [*await self._stage(connection, rows[:middle]), *await self._stage(connection, rows[middle:])]
        return []

    async def _write_dead_letters(self, connection: Connection, letters: Sequence[DeadLetter], window: Window) -> None:
        if letters:
            columns = zip(*map(_letter_columns, letters), strict=True)
            await connection.execute(sql.ADD_DEAD_LETTERS, self._topic, *map(list, columns))
        if window.losses:
            columns = zip(*((loss.partition, loss.start, loss.end) for loss in window.losses), strict=True)
            await connection.execute(sql.ADD_OFFSET_GAPS, self._topic, *map(list, columns))

    async def _move_offsets(self, connection: Connection, window: Window, rows: Sequence[Row]) -> None:
        offsets = window.fenced.next_offsets
        times = [window.fenced.appended_ms[partition] for partition in offsets]
        moved = list(offsets), list(offsets.values()), times, self._worker
        filters = columns_of(stored_filters(window.prepared, rows))
        await connection.execute(sql.MOVE_OFFSETS, self._topic, *moved, *filters)

    async def _add_to_rollups(
        self, connection: Connection, rows: Sequence[Row]
    ) -> tuple[dict[Cell, int], dict[tuple[int, str], int]]:
        if not rows:
            return {}, {}
        cells = cells_of(rows)
        columns = [[cell[i] for cell in cells] for i in range(3)]
        found = await connection.fetch(sql.ADD_TO_ROLLUPS, *columns, list(cells.values()))
        minutes = {Cell(r["minute"], r["severity"], r["source"]): r["n"] for r in found if r["minute"] is not None}
        totals = {
            (r["severity"], r["source"]): r["n"] for r in found if r["minute"] is None and r["severity"] is not None
        }
        return minutes, totals

    async def move_stored_until(self, reached: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Partition -> (end offset, milliseconds): what was appended before then is stored up to that end.

        Returns the stored offsets; below an end nothing was moved.
        """
        columns = [list(reached), [end for end, _ in reached.values()], [ms for _, ms in reached.values()]]
        async with self._session() as connection:
            found = await connection.fetch(sql.MOVE_STORED_UNTIL, self._topic, *columns, self._worker)
        return {row["partition"]: row["next_offset"] for row in found}

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Runs one statement. Raises StoreUnavailableError."""
        async with self._session() as connection:
            await connection.execute(statement, *arguments)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one query. Raises StoreUnavailableError."""
        async with self._session() as connection:
            return await connection.fetch(statement, *arguments)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """The connection, for work that needs several statements. Raises StoreUnavailableError."""
        async with self._session() as connection:
            yield connection

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                yield self._connection
            except BaseException as error:
                # These leave the connection usable.
                if isinstance(error, OffsetsMovedError | _DuplicateKeysError | _RefusedRowError):
                    raise
                self._discard()
                if _is_transient(error):
                    raise _unavailable(error) from error
                if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
                    raise ConfigurationFaultError(f"PostgreSQL refuses postgres.user: {error}") from error
                if isinstance(error, asyncpg.InsufficientPrivilegeError):
                    raise ConfigurationFaultError(
                        f"postgres.user {self._settings.user} may not do in PostgreSQL what storing needs: {error}; "
                        "is it a member of threatlog_writer, and has `threatlog migrate` run since?"
                    ) from error
                raise

    async def _connect(self) -> Connection:
        return await asyncpg.connect(
            **connect_keywords(self._settings),
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=self._server_settings,
        )

    def _discard(self) -> None:
        if self._connection is not None:
            # Not close(): that would wait for a server that may be frozen.
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Closes the connection, waiting at most a second."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()


def _unavailable(error: BaseException) -> StoreUnavailableError:
    busy = isinstance(error, asyncpg.PostgresError) and is_busy(error.sqlstate)
    words = str(error) or "no answer in time"
    return (StoreBusyError if busy else StoreUnavailableError)(f"{type(error).__name__}: {words}")


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return is_transient(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError):
        if str(error).endswith(_CONNECTION_GONE):
            return True
        # The rollback of what failed, on a connection that another session's death left in the middle of an answer.
        return error.__context__ is not None and _is_transient(error.__context__)
    # InternalClientError: asyncpg 0.32 was given a query after the server's farewell and before the end of the stream.
    return isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError)
