"""SQL of what is remembered of exports: who asked for what, how far it was sent, and the audit log's entries."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from datetime import timedelta
from typing import Final

from query_api.exports.chunks import Chunk
from query_api.statement import Statement
from stream_app.contract import EXPORT_CHUNKS, EXPORTS

# For so long the rest of a broken download can be had.
KEPT: Final = timedelta(days=7)
RUNNING: Final = "running"
_CHUNK: Final = "number, bytes, rows, ts, event_id, digest, is_last"

FORGET_OLD: Final = Statement(f"DELETE FROM {EXPORTS} WHERE created_at < clock_timestamp() - $1::interval", (KEPT,))


def create(identifier: str, request: str, caller: str, events_at_most: int, stored_until: str) -> Statement:
    """Remembers an export, with the entry in the audit log."""
    return Statement(
        f"WITH made AS (INSERT INTO {EXPORTS} (id, request, caller, events_at_most, stored_until) "
        "VALUES ($1, $2::text::json, $3, $4, $5::text::json) RETURNING id, caller, request) "
        "INSERT INTO audit_log (actor, action, target, detail) "
        "SELECT caller, 'export.created', id, request::jsonb FROM made",
        (identifier, request, caller, events_at_most, stored_until),
    )


def find(identifier: str) -> Statement:
    """The export, with its last chunk; no row where there is none."""
    return Statement(
        "SELECT e.id, e.request::text AS request, e.status, e.reason, e.created_at, e.updated_at, e.events_at_most, "
        f"e.stored_until::text AS stored_until, c.* FROM {EXPORTS} e LEFT JOIN LATERAL (SELECT {_CHUNK} "
        f"FROM {EXPORT_CHUNKS} WHERE export_id = e.id ORDER BY number DESC LIMIT 1) AS c ON true WHERE e.id = $1",
        (identifier,),
    )


def chunk(identifier: str, number: int) -> Statement:
    """The export's status, and one piece, null where it was not sent yet; no row where there is no such export."""
    return Statement(
        f"SELECT e.status, c.* FROM {EXPORTS} e LEFT JOIN LATERAL (SELECT {_CHUNK} FROM {EXPORT_CHUNKS} "
        "WHERE export_id = e.id AND number = $2) AS c ON true WHERE e.id = $1",
        (identifier, number),
    )


def chunk_before(identifier: str, byte: int) -> Statement:
    """The last piece that ends at this byte or before it; no row where that is within the first."""
    return Statement(
        f"SELECT {_CHUNK} FROM {EXPORT_CHUNKS} WHERE export_id = $1 AND bytes <= $2 ORDER BY number DESC LIMIT 1",
        (identifier, byte),
    )


def record(identifier: str, made: Chunk, before: Chunk | None) -> Statement:
    """Remembers a piece, and forgets those behind it, which were of another content.

    One row where that was done; none where the export was cancelled or forgotten, or another request has made the
    piece before anew.
    """
    return Statement(
        f"WITH alive AS (UPDATE {EXPORTS} SET status = 'running', reason = NULL, updated_at = clock_timestamp() "
        "WHERE id = $1 AND status <> 'cancelled' AND ($2 = 0 OR EXISTS (SELECT FROM "
        f"{EXPORT_CHUNKS} WHERE export_id = $1 AND number = $2 - 1 AND digest = $9)) RETURNING id), "
        f"gone AS (DELETE FROM {EXPORT_CHUNKS} WHERE export_id IN (SELECT id FROM alive) AND number > $2) "
        f"INSERT INTO {EXPORT_CHUNKS} (export_id, {_CHUNK}) "
        "SELECT id, $2::int, $3::bigint, $4::bigint, $5::timestamptz, $6::uuid, $7::bytea, $8::boolean FROM alive "
        "ON CONFLICT (export_id, number) DO UPDATE SET bytes = excluded.bytes, rows = excluded.rows, "
        "ts = excluded.ts, event_id = excluded.event_id, digest = excluded.digest, is_last = excluded.is_last "
        "RETURNING number",
        (
            identifier,
            made.number,
            made.file_bytes,
            made.file_rows,
            made.reached.ts,
            made.reached.id,
            made.digest,
            made.is_last,
            b"" if before is None else before.digest,
        ),
    )


def finish(identifier: str, caller: str, status: str, detail: str, reason: str | None) -> Statement:
    """Notes how an answer or the export ended, with the entry in the audit log. What was cancelled stays so."""
    return Statement(
        f"WITH ended AS (UPDATE {EXPORTS} SET status = $3, reason = $5, updated_at = clock_timestamp() "
        "WHERE id = $1 AND status <> 'cancelled' RETURNING id) "
        "INSERT INTO audit_log (actor, action, target, detail) SELECT $2, $6, $1, $4::text::jsonb",
        (identifier, caller, status, detail, reason, "export.part_sent" if status == RUNNING else f"export.{status}"),
    )
