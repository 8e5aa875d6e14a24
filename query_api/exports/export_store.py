"""What PostgreSQL knows of exports, over connections of their own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec

from query_api import sql
from query_api.exports import store_sql
from query_api.exports.chunks import Chunk, StoredExport
from query_api.exports.request import ExportRequest, read_export_request
from query_api.exports.span import Place
from query_api.page_search import stored_until_of
from query_api.postgres_sessions import PostgresSessions, PostgresSnapshot
from query_api.search import SearchFilter
from query_api.source_names import named
from query_api.statement import Statement
from query_api.timeline import pieces

CANCELLED: Final = "cancelled"
_encode: Final = msgspec.json.encode


class CancelledExportError(Exception):
    """There is nothing more to send of this export."""


class ExportStore:
    """Every method raises StoreUnavailableError or QueryTimeoutError, within a bounded time."""

    def __init__(self, sessions: PostgresSessions, topic: str) -> None:
        self._sessions = sessions
        self._topic = topic

    def snapshot(self) -> AbstractAsyncContextManager[PostgresSnapshot]:
        """A short look at the events."""
        return self._sessions.snapshot()

    async def create(self, identifier: str, request: ExportRequest, caller: str) -> None:
        """Remembers an export, and forgets old ones."""
        async with self._sessions.snapshot() as snapshot:
            wanted: SearchFilter = (await named(snapshot, request.filter)).of_counts()
            (row,) = await snapshot.fetch(sql.total(wanted, pieces(wanted.start, wanted.end), self._topic))
        until = _encode({str(partition): us for partition, us in stored_until_of(row).items()}).decode()
        members = _encode(request.members).decode()
        async with self._sessions.session() as session:
            await session.execute(store_sql.FORGET_OLD)
            await session.execute(store_sql.create(identifier, members, caller, row["total"], until))

    async def find(self, identifier: str) -> StoredExport | None:
        """The export with this id; None where there is none, or none any more."""
        row = await self._one(store_sql.find(identifier))
        if row is None:
            return None
        until = msgspec.json.decode(row["stored_until"], type=dict[int, int])
        return StoredExport(
            row["id"],
            read_export_request(row["request"].encode()),
            row["status"],
            row["reason"],
            row["created_at"],
            row["updated_at"],
            row["events_at_most"],
            None if row["number"] is None else _chunk_of(row),
            until,
        )

    async def chunk(self, identifier: str, number: int) -> Chunk | None:
        """A piece that was sent before. Raises CancelledExportError."""
        row = await self._one(store_sql.chunk(identifier, number))
        if row is None or row["status"] == CANCELLED:
            raise CancelledExportError("the export was cancelled")
        return None if row["number"] is None else _chunk_of(row)

    async def chunk_before(self, identifier: str, byte: int) -> Chunk | None:
        """The last piece that ends at this byte or before it."""
        row = await self._one(store_sql.chunk_before(identifier, byte))
        return None if row is None else _chunk_of(row)

    async def record(self, identifier: str, made: Chunk, before: Chunk | None) -> bool:
        """Remembers a piece before it is sent; False where the export no longer goes on so."""
        return await self._one(store_sql.record(identifier, made, before)) is not None

    async def finish(self, identifier: str, caller: str, status: str, detail: Mapping[str, object]) -> None:
        """Notes how an answer ended; `detail` goes into the audit log, its `reason` also to who asks."""
        reason = detail.get("reason")
        async with self._sessions.session() as session:
            await session.execute(
                store_sql.finish(
                    identifier, caller, status, _encode(detail).decode(), None if reason is None else str(reason)
                )
            )

    async def close(self, timeout_s: float) -> None:
        """Closes the connections; by force after the time is over."""
        await self._sessions.close(timeout_s)

    async def _one(self, statement: Statement) -> Mapping[str, Any] | None:
        async with self._sessions.session() as session:
            rows = await session.fetch(statement)
        return rows[0] if rows else None


def _chunk_of(row: Mapping[str, Any]) -> Chunk:
    place = Place(row["ts"], row["event_id"])
    return Chunk(row["number"], row["bytes"], row["rows"], place, row["digest"], row["is_last"])
