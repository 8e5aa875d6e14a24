"""SQL of counts by source and severity: all at once, or of stretches, with what proves that others still hold."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from query_api.search import SearchFilter
from query_api.source_stretches import DividedRange
from query_api.sql import TOP_SOURCES, counted, each_of, narrowed, positions_columns
from query_api.statement import Arguments, Statement
from query_api.timeline import Level, Piece
from stream_app.contract import COUNT_HOUR, COUNT_MINUTE, RETENTION_DROPS, ROLLUP_HOUR, ROLLUP_MINUTE, ROLLUP_TOTAL

_STATE: Final = "hours, counts, fives, five_counts, drops, started_us, cells, partitions, until_us"


def by_source(wanted: SearchFilter, cut: Sequence[Piece]) -> Statement:
    """Rows (source, n): the signed counts of these pieces, of every source that has any."""
    arguments = Arguments()
    return arguments.statement(_by_source(arguments, wanted, cut))


def with_state(wanted: SearchFilter, cut: Sequence[Piece], divided: DividedRange, topic: str) -> Statement:
    """The same, and one row without source that has what `state` says: all of one moment."""
    arguments = Arguments()
    counts = _by_source(arguments, wanted, cut)
    state_now = _state(arguments, divided, topic)
    nothing = ", ".join("NULL" for _ in _STATE.split(", "))
    text = f"SELECT NULL AS source, NULL::bigint AS n, {_STATE} FROM ({state_now}) AS state UNION ALL"
    return Statement(f"{text} SELECT source, n, {nothing} FROM ({counts}) AS counts", tuple(arguments.values), True)


def state(divided: DividedRange, topic: str) -> Statement:
    """One row: the hours since 1970 that have events, oldest first, and how many each has; the same of each five
    minutes at the edges; and how far all is stored.

    `drops` and `started_us` are others where counts may have been lowered, by retention, or in a restored database:
    while both are the same, counts only grow. `cells` is about how many severities of sources there are.
    """
    arguments = Arguments()
    text = _state(arguments, divided, topic)
    return Statement(text, tuple(arguments.values), is_planned_once=True)


def _state(arguments: Arguments, divided: DividedRange, topic: str) -> str:
    whole = divided.hours.piece()
    start, end = arguments.add(whole.start), arguments.add(whole.end)
    visited = each_of(arguments, divided.windows())
    return (
        "SELECT hours.*, fives.*,"
        f" (SELECT coalesce(max(id), 0) FROM {RETENTION_DROPS}) AS drops,"
        " (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started_us,"
        f" (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = '{ROLLUP_TOTAL}'::regclass) AS cells,"
        f" {positions_columns(arguments, topic)}"
        " FROM (SELECT array_agg(hour ORDER BY hour) AS hours, array_agg(n ORDER BY hour) AS counts"
        " FROM (SELECT (extract(epoch FROM bucket) / 3600)::bigint AS hour, sum(n)::bigint AS n"
        f" FROM {COUNT_HOUR} WHERE bucket >= {start} AND bucket < {end} GROUP BY bucket) AS counted) AS hours"
        " CROSS JOIN (SELECT array_agg(five ORDER BY five) AS fives, array_agg(n ORDER BY five) AS five_counts"
        " FROM (SELECT floor(extract(epoch FROM bucket) / 300)::bigint AS five, sum(n)::bigint AS n"
        f" FROM {visited} (SELECT bucket, n FROM {COUNT_MINUTE} WHERE bucket >= w.a AND bucket < w.z) AS minutes"
        " GROUP BY 1) AS counted) AS fives"
    )


def _by_source(arguments: Arguments, wanted: SearchFilter, cut: Sequence[Piece]) -> str:
    """Whatever the pieces, the text is the same, if two of them are of rows: they are visited one by one, so that only
    their partitions are opened.
    """
    extra = narrowed(arguments, wanted)
    parts = []
    for level, table in ((Level.HOURS, ROLLUP_HOUR), (Level.MINUTES, ROLLUP_MINUTE)):
        of_level = [piece for piece in cut if piece.level is level]
        starts = arguments.add([piece.start for piece in of_level])
        ends = arguments.add([piece.end for piece in of_level])
        signs = arguments.add([1 if piece.is_added else -1 for piece in of_level])
        parts.append(
            f"SELECT found.source, w.sign * found.n AS n FROM"
            f" unnest({starts}::timestamptz[], {ends}::timestamptz[], {signs}::bigint[]) AS w (a, z, sign)"
            f" CROSS JOIN LATERAL (SELECT source, sum(n)::bigint AS n FROM {table}"
            f" WHERE bucket >= w.a AND bucket < w.z{extra} GROUP BY source) AS found"
        )
    rows = [piece for piece in cut if piece.level is Level.ROWS]
    if rows:
        parts.append(counted(arguments, wanted, rows, "source"))
    return f"SELECT source, sum(n)::bigint AS n FROM ({' UNION ALL '.join(parts)}) AS cells GROUP BY source"


def stats(wanted: SearchFilter, cut: Sequence[Piece], topic: str) -> Statement:
    """Rows (kind, severity, source, n): 'severity' for each one found, 'source' for the largest, one 'all'.

    The row 'all' has in `severity` nothing and in `sources` how many sources there are.
    """
    arguments = Arguments()
    cells = counted(arguments, wanted, cut, "severity", "source")
    return arguments.statement(
        f"WITH cells AS MATERIALIZED ({cells}), by_source AS MATERIALIZED ("
        "SELECT source, sum(n)::bigint AS n FROM cells GROUP BY source HAVING sum(n) > 0) "
        "SELECT 'all' AS kind, NULL::smallint AS severity, NULL::text AS source, "
        f"coalesce(sum(n), 0)::bigint AS n, count(*) AS sources, {positions_columns(arguments, topic)} FROM by_source "
        "UNION ALL (SELECT 'severity', severity, NULL, sum(n)::bigint, NULL, NULL, NULL FROM cells GROUP BY severity "
        "HAVING sum(n) > 0) UNION ALL (SELECT 'source', NULL, source, n, NULL, NULL, NULL FROM by_source "
        f"ORDER BY n DESC, source LIMIT {TOP_SOURCES})"
    )


def severities(wanted: SearchFilter, cut: Sequence[Piece], topic: str) -> Statement:
    """The same without sources."""
    arguments = Arguments()
    cells = counted(arguments, wanted, cut, "severity")
    return arguments.statement(
        f"WITH cells AS MATERIALIZED ({cells}) "
        "SELECT 'all' AS kind, NULL::smallint AS severity, coalesce(sum(n), 0)::bigint AS n, NULL::bigint AS sources, "
        f"{positions_columns(arguments, topic)} FROM cells "
        "UNION ALL SELECT 'severity', severity, sum(n)::bigint, NULL, NULL, NULL FROM cells GROUP BY severity "
        "HAVING sum(n) > 0"
    )
