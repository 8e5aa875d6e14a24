"""SQL of an export's slices: PostgreSQL itself writes the text or the columns, so that no row costs Python anything."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ingest_gateway.contract import SEVERITIES
from query_api.exports.request import Format
from query_api.exports.span import Span
from query_api.search import SearchFilter
from query_api.sql import COLUMNS, COUNTED_BY_SOURCE, COUNTED_OF_ALL, each_of, narrowed
from query_api.statement import Arguments, Statement
from query_api.timeline import HOUR, Level, Window, floor_to
from stream_app.contract import LOGS

# About what an event has in a file besides message and attributes.
_OTHER_BYTES: Final = 200
CSV_HEADER: Final = b"id,timestamp,severity,source,message,ingested_at,attributes\r\n"
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection": = + - @, tab, CR, LF and the
# full-width ones); and the apostrophe that is put before it, so that taking one away gives back every cell.
FORMULA_BEGINNINGS: Final = "=+-@\t\r\n＝＋－＠'"

_SEVERITY: Final = f"('{{{','.join(SEVERITIES)}}}'::text[])[severity + 1]"


def _time(column: str) -> str:
    """As answers write it: six digits, or none."""
    return f"""replace(to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z')"""


def _cell(text: str) -> str:
    """Always in quotes, which are doubled within (RFC 4180)."""
    beginnings = FORMULA_BEGINNINGS.replace("'", "''").replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")
    is_formula = f"{text} <> '' AND strpos(E'{beginnings}', left({text}, 1)) > 0"
    return f"""'"', CASE WHEN {is_formula} THEN '''' END, replace({text}, '"', '""'), '"'"""


# JSON has line ends only between its tokens: a blank there means the same, and a line stays one.
_ONE_LINE: Final = r"replace(replace(attributes::text, E'\n', ' '), E'\r', ' ')"
_NDJSON: Final = f"""concat('{{"id":"', id, '","timestamp":"', {_time("ts")}, '","severity":"', {_SEVERITY},
 '","source":', to_json(source), ',"message":', to_json(message), ',"ingested_at":"', {_time("received_at")}, '"',
 ',"attributes":' || {_ONE_LINE}, E'}}\\n')"""
_CSV: Final = f"""concat(id, ',', {_time("ts")}, ',', {_SEVERITY}, ',', {_cell("source")}, ',', {_cell("message")}, ',',
 {_time("received_at")}, ',', CASE WHEN attributes IS NOT NULL THEN concat({_cell("attributes::text")}) END,
 E'\\r\\n')"""
_LINES: Final = "coalesce(convert_to(string_agg({line}, ''), 'UTF8'), '') AS data"
_US: Final = "int8send((extract(epoch FROM {column}) * 1000000)::bigint)"
# Each column's values one behind the other, in network order; of texts also how many bytes each has, and of those that
# may be absent a digit for each.
_PARQUET: Final = ", ".join(
    f"coalesce(string_agg({made}, ''::bytea), ''::bytea) AS {name}"
    for name, made in {
        "id": "uuid_send(id)",
        "timestamp": _US.format(column="ts"),
        "severity": "int4send(severity)",
        "source": "convert_to(source, 'UTF8')",
        "source_bytes": "int4send(octet_length(source))",
        "message": "convert_to(message, 'UTF8')",
        "message_bytes": "int4send(octet_length(message))",
        "ingested_at": _US.format(column="received_at"),
        "attributes": "convert_to(attributes::text, 'UTF8')",
        "attributes_bytes": "int4send(coalesce(octet_length(attributes::text), 0))",
        "has_attributes": "CASE WHEN attributes IS NULL THEN '0'::bytea ELSE '1'::bytea END",
    }.items()
)
_GIVEN: Final[dict[Format, str]] = {
    "ndjson": _LINES.format(line=_NDJSON),
    "csv": _LINES.format(line=_CSV),
    "parquet": _PARQUET,
}


def file_slice(
    form: Format, wanted: SearchFilter, span: Span, windows: Sequence[Window], most: tuple[int, int]
) -> Statement:
    """One row: the first wanted events of a span that lie in `windows`, ready for the file.

    `most` is how many rows at most, and with how many bytes it ends: with the event that reaches them. `n` and
    `size` say how many there are, `last_ts` and `last_id` which is the last.
    """
    arguments = Arguments()
    direction = "DESC" if span.newest_first else "ASC"
    order = f"ORDER BY ts {direction}, id {direction}"
    rows = arguments.add(most[0])
    size = f"octet_length(message) + coalesce(octet_length(attributes::text), 0) + {_OTHER_BYTES}"
    found = f"({_found(arguments, wanted, span, windows, f'{order} LIMIT {rows}')}) AS f"
    last = "min" if span.newest_first else "max"
    return arguments.statement(
        f"SELECT count(*) AS n, coalesce(sum(size), 0)::bigint AS size, {last}(ts) AS last_ts, "
        f"(array_agg(id))[count(*)] AS last_id, {_GIVEN[form]} FROM (SELECT *, sum(size) OVER ({order} ROWS BETWEEN "
        f"UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM (SELECT *, {size} AS size FROM {found}) AS p) AS q "
        f"WHERE coalesce(before, 0) < {arguments.add(most[1])}::bigint"
    )


def _found(arguments: Arguments, wanted: SearchFilter, span: Span, windows: Sequence[Window], ordered: str) -> str:
    """The rows in order. One window needs no visit of its own, nor sorting."""
    after = f"({arguments.add(span.after.ts)}, {arguments.add(span.after.id)})"
    until = f"({arguments.add(span.until.ts)}, {arguments.add(span.until.id)})"
    behind, up_to = ("<", ">=") if span.newest_first else (">", "<=")
    inside = f"(ts, id) {behind} {after} AND (ts, id) {up_to} {until}{narrowed(arguments, wanted)}"
    if len(windows) == 1:
        first, end = arguments.add(windows[0].start), arguments.add(windows[0].end)
        return f"SELECT {COLUMNS} FROM {LOGS} WHERE ts >= {first} AND ts < {end} AND {inside} {ordered}"
    visited = each_of(arguments, windows)
    return (
        f"SELECT {COLUMNS} FROM {visited} (SELECT {COLUMNS} FROM {LOGS} WHERE ts >= w.a AND ts < w.z AND {inside} "
        f"{ordered}) AS visited {ordered}"
    )


def hours_ahead(wanted: SearchFilter, within: Window, most: int) -> Statement:
    """Rows (bucket, n), oldest first: the hours that may hold wanted events, and how many of any kind they hold.

    `wanted` is of counts.
    """
    arguments = Arguments()
    bounds = f"bucket >= {arguments.add(floor_to(within.start, HOUR))} AND bucket < {arguments.add(within.end)}"
    table = (COUNTED_BY_SOURCE if wanted.is_by_source else COUNTED_OF_ALL)[Level.HOURS]
    may = f"bucket IN (SELECT bucket FROM {table} WHERE {bounds} AND n > 0{narrowed(arguments, wanted)})"
    return arguments.statement(
        f"SELECT bucket, sum(n)::bigint AS n FROM {COUNTED_OF_ALL[Level.HOURS]} WHERE {bounds} AND {may} "
        f"GROUP BY bucket HAVING sum(n) > 0 ORDER BY bucket LIMIT {arguments.add(most)}"
    )
