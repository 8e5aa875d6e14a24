"""The JSON that says how an export stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from ingest_gateway.contract import SEVERITIES
from query_api.completeness import Completeness, Lag
from query_api.exports.chunks import StoredExport
from query_api.exports.span import Place
from query_api.filter_language.written import written

EXPORTS_PATH: Final = "/api/v1/exports"
EXPORT_PATH: Final = "/api/v1/exports/{id}"
ROWS_PATH: Final = "/api/v1/exports/{id}/rows"


class ExportAnswer(msgspec.Struct, frozen=True):
    """POST /api/v1/exports, and GET and DELETE of one. `rows` and `bytes` are those of the pieces that went out."""

    id: str
    status: str
    reason: str | None
    rows_url: str
    start_time: datetime
    end_time: datetime
    severity: Sequence[str]
    source: str | None
    q: str
    format: str
    compression: str
    order: str
    rows: int
    bytes: int
    parts: int
    progress: float
    reached: datetime | None
    events_at_most: int
    created_at: datetime
    updated_at: datetime
    complete_until: datetime | None
    incomplete_reason: str | None
    lag: Lag


def export_body(export: StoredExport, complete: Completeness, lag: Lag, parts: int) -> bytes:
    """The JSON of an export. `complete` is of the moment when it was asked for."""
    request, last = export.request, export.last
    wanted = request.filter
    return msgspec.json.encode(
        ExportAnswer(
            export.id,
            export.status,
            export.reason,
            ROWS_PATH.format(id=export.id),
            wanted.start,
            wanted.end,
            [SEVERITIES[code] for code in wanted.severities],
            wanted.source,
            written(wanted.expression),
            request.format,
            request.compression,
            request.order,
            0 if last is None else last.file_rows,
            0 if last is None else last.file_bytes,
            parts,
            0.0 if last is None else _progress(export, last.reached, is_last=last.is_last),
            None if last is None else last.reached.ts,
            export.events_at_most,
            export.created_at,
            export.updated_at,
            complete.complete_until,
            complete.reason,
            lag,
        )
    )


def _progress(export: StoredExport, reached: Place, *, is_last: bool) -> float:
    """Which share of the time range was gone through."""
    if is_last:
        return 1.0
    wanted = export.request.filter
    done = wanted.end - reached.ts if export.request.newest_first else reached.ts - wanted.start
    return round(min(max(done / (wanted.end - wanted.start), 0.0), 1.0), 4)
