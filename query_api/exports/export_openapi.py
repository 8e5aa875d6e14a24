"""The OpenAPI description of the routes of exports, with examples."""

from __future__ import annotations

from typing import Any, Final

from query_api.exports.answers import EXPORT_PATH, EXPORTS_PATH, ROWS_PATH
from query_api.exports.export_service import CHUNKS_PER_PART
from query_api.exports.request import COMPRESSIONS, FORMATS, ORDERS
from query_api.exports.sending import CHUNK_BYTES
from query_api.exports.store_sql import KEPT
from query_api.filter_language.parse import MAX_CHARS
from threatlog.process.problems import described_problem

_Described = dict[str, Any]
_MOMENT: Final = {"type": "string", "format": "date-time"}
REQUEST: Final[dict[str, Any]] = {
    "start_time": "2026-11-24T10:00:00Z",
    "end_time": "2026-11-24T11:00:00Z",
    "severity": ["HIGH", "CRITICAL"],
    "q": 'client_ip:203.0.113.0/24 -"accepted password"',
    "format": "ndjson",
    "compression": "gzip",
}
EXPORT: Final[dict[str, Any]] = {
    "id": "Vq3mJ0b1lq0n9S2f7yHc1w",
    "status": "created",
    "reason": None,
    "rows_url": "/api/v1/exports/Vq3mJ0b1lq0n9S2f7yHc1w/rows",
    "start_time": "2026-11-24T10:00:00Z",
    "end_time": "2026-11-24T11:00:00Z",
    "severity": ["HIGH", "CRITICAL"],
    "source": None,
    "q": 'attributes.client_ip:203.0.113.0/24 -"accepted password"',
    "format": "ndjson",
    "compression": "gzip",
    "order": "newest_first",
    "rows": 0,
    "bytes": 0,
    "parts": 0,
    "progress": 0.0,
    "reached": None,
    "events_at_most": 4809,
    "created_at": "2026-11-24T11:00:02.120000Z",
    "updated_at": "2026-11-24T11:00:02.120000Z",
    "complete_until": "2026-11-24T11:00:01.940000Z",
    "incomplete_reason": None,
    "lag": {"events": 12, "as_of": "2026-11-24T11:00:02.120000Z", "stale": False},
}
_CREATE_TEXT: Final = (
    "Nothing is read yet but how many events there are at most, by the counts; the file is made as it is fetched from "
    f"`rows_url`. An export is known for {KEPT.days} days, to every process. Each stands in the audit log."
)
_STATUS_TEXT: Final = (
    "`rows`, `bytes` and `progress` (a share of the time range) are of what went out so far, `reached` is where "
    "in time that is. `completed` means that the whole file was sent, `interrupted` that its `reason` ended an answer "
    "before; a process that was killed leaves `running`. `complete_until` is of the moment when the export was asked "
    "for: every event acknowledged before it is in the file, unless retention removed it first."
)
_ROWS_TEXT: Final = (
    "The file, as fast as it is read. It is whole exactly where the answer ends as HTTP says it ends; otherwise the "
    "connection breaks, and `from_byte` (how many bytes you have) gives the rest, from any process: the same bytes. "
    "Where late events have come into the last piece meanwhile, that is 409 `export_changed`: cut your file to "
    f"`resume_at` bytes and ask from there. A piece is about {CHUNK_BYTES >> 20} MiB of events, and a gzip member or "
    "zstd frame of its own. Parquet cannot be continued: fetch it whole, or as files `part=0`, `part=1` and so on "
    f"until 404, each of {CHUNKS_PER_PART} pieces. NDJSON has events as `/api/v1/logs/query` has, line ends between "
    "the tokens of attributes being blanks. CSV (RFC 4180) has an apostrophe before each cell that a spreadsheet could "
    "take for a formula, and before each that begins with one: taking one away gives back every cell. Events that were "
    "stored before the export began are in it once; of those that come meanwhile, those that lie ahead of `reached`."
)


def export_paths() -> dict[str, _Described]:
    """Path -> method -> operation."""
    return {
        EXPORTS_PATH: {
            "post": {
                **_operation("Ask for any number of events as a file", _CREATE_TEXT, [], "201", "400", "413"),
                "requestBody": _body(),
            }
        },
        EXPORT_PATH: {
            "get": _operation("How far an export is", _STATUS_TEXT, [_identifier()], "200", "404"),
            "delete": _operation("Cancel an export", "For good, whoever reads it.", [_identifier()], "200", "404"),
        },
        ROWS_PATH: {"get": _rows()},
    }


_PROBLEMS: Final = {
    "400": "The body is no JSON",
    "404": "There is no such export, or no such part",
    "409": "`export_changed`: late events came; `resume_at` is where to go on. `part_not_reached`: others first",
    "410": "The export was cancelled",
    "413": "The body is too large",
    "422": "A member or parameter is missing, wrong or unknown; the problem names it",
    "503": "PostgreSQL cannot be used now, or `too_many_exports` are sent; Retry-After says when to try again",
    "504": "PostgreSQL took longer than `query.statement_timeout`",
}


def _operation(summary: str, text: str, parameters: list[_Described], good: str, *bad: str) -> _Described:
    answer = {"description": summary, "content": {"application/json": {"example": EXPORT}}}
    return {
        "tags": ["exports"],
        "summary": summary,
        "description": text,
        "parameters": parameters,
        "responses": {
            good: answer,
            **{s: described_problem(_PROBLEMS[s]) for s in sorted({*bad, "422", "503", "504"})},
        },
    }


def _rows() -> _Described:
    whole = {"type": "integer", "minimum": 0}
    parameters = [
        _identifier(),
        _parameter(
            "from_byte", {**whole, "default": 0}, "how many bytes of the file are there already; not of Parquet"
        ),
        _parameter("part", whole, "one file of Parquet, in order from 0"),
    ]
    found = _operation("The file of an export", _ROWS_TEXT, parameters, "200", "404", "409", "410")
    line = '{"id":"019ab549-2e4b-8c3e-9f0a-5b1d2c3e4f50","timestamp":"2026-11-24T10:15:30.123000Z",...}\n'
    types = {"application/x-ndjson": {"example": line}}
    types |= {
        name: {} for name in ("text/csv", "application/gzip", "application/zstd", "application/vnd.apache.parquet")
    }
    found["responses"]["200"] = {"description": "The file, or the rest of it", "content": types}
    return found


def _identifier() -> _Described:
    schema = {"type": "string", "example": EXPORT["id"]}
    return {"name": "id", "in": "path", "required": True, "schema": schema, "description": "the export's id"}


def _parameter(name: str, schema: _Described, description: str) -> _Described:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _body() -> _Described:
    properties: _Described = {
        "start_time": {**_MOMENT, "description": "first moment that counts, RFC 3339 with a zone"},
        "end_time": {**_MOMENT, "description": "first that does not"},
        "severity": {"type": "array", "items": {"type": "string"}, "description": "as in a query, as a list"},
        "source": {"type": "string", "description": "the whole name of one source"},
        "q": {"type": "string", "maxLength": MAX_CHARS, "description": "a filter; see docs/filter-language.md"},
        "format": {"type": "string", "enum": list(FORMATS), "default": "ndjson"},
        "compression": {"type": "string", "enum": list(COMPRESSIONS), "default": "none"},
        "order": {"type": "string", "enum": list(ORDERS), "default": "newest_first"},
    }
    schema = {
        "type": "object",
        "required": ["start_time", "end_time"],
        "properties": properties,
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema, "example": REQUEST}}}
