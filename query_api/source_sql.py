"""SQL of counts by source and severity: all at once, or of stretches, with what proves that others still hold."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from query_api.search import SearchFilter
from query_api.source_stretches import Stretch
from query_api.sql import TOP_SOURCES, counted, each_of, narrowed, positions_columns
from query_api.statement import Arguments, Statement
from query_api.timeline import Level, Piece
from stream_app.contract import COUNT_HOUR, COUNT_MINUTE, RETENTION_DROPS, ROLLUP_HOUR, ROLLUP_MINUTE, ROLLUP_TOTAL

_CELLS: Final = f"SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = '{ROLLUP_TOTAL}'::regclass"


def by_source(wanted: SearchFilter, cut: Sequence[Piece], proven: Sequence[Stretch], topic: str) -> Statement:
    """One row: `sources` and `counts`, the signed counts of these pieces, to be added up, of every source that has any;
    and all that proves of other counts that they are still so, of the same moment.

    `hours` and `minutes` are the numbers of events of the stretches `proven`, those counted by hours and by minutes,
    each in their order. `drops` and `started_us` are others where counts may have been lowered, by retention, or in a
    restored database: while both are the same, counts only grow. `cells` is what `cells` says. Null where there is
    nothing.
    """
    arguments = Arguments()
    counts = _by_source(arguments, wanted, cut)
    proof = _proof(arguments, proven)
    text = (
        f"SELECT found.sources, found.counts, {proof}, ({_CELLS}) AS cells, {positions_columns(arguments, topic)}"
        f" FROM (SELECT array_agg(source) AS sources, array_agg(n) AS counts FROM ({counts}) AS counts) AS found"
    )
    return Statement(text, tuple(arguments.values), is_planned_once=True)


def of_each(wanted: SearchFilter, stretches: Sequence[Stretch]) -> Statement:
    """One row: `places`, `sources` and `counts` of each of these stretches, which are all counted by hours or all by
    minutes; a place is that in `stretches`, from 1. And what proves them, as above.
    """
    arguments = Arguments()
    extra = narrowed(arguments, wanted)
    table = ROLLUP_HOUR if stretches[0].level is Level.HOURS else ROLLUP_MINUTE
    visited, proof = _visited(arguments, stretches), _proof(arguments, stretches)
    text = (
        f"SELECT found.*, {proof} FROM ("
        "SELECT array_agg(w.place) AS places, array_agg(each.source) AS sources, array_agg(each.n) AS counts"
        f" FROM {visited} (SELECT source, sum(n)::bigint AS n FROM {table}"
        f" WHERE bucket >= w.a AND bucket < w.z{extra} GROUP BY source) AS each) AS found"
    )
    return Statement(text, tuple(arguments.values), is_planned_once=True)


def cells() -> Statement:
    """One row: about how many severities of sources there are."""
    return Statement(f"SELECT ({_CELLS}) AS cells", is_planned_once=True)


def _proof(arguments: Arguments, proven: Sequence[Stretch]) -> str:
    hours = _events(arguments, COUNT_HOUR, [stretch for stretch in proven if stretch.level is Level.HOURS])
    minutes = _events(arguments, COUNT_MINUTE, [stretch for stretch in proven if stretch.level is Level.MINUTES])
    return (
        f"({hours}) AS hours, ({minutes}) AS minutes, (SELECT coalesce(max(id), 0) FROM {RETENTION_DROPS}) AS drops,"
        " (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started_us"
    )


def _events(arguments: Arguments, table: str, stretches: Sequence[Stretch]) -> str:
    return (
        f"SELECT array_agg(seen.n ORDER BY w.place) FROM {_visited(arguments, stretches)}"
        f" (SELECT coalesce(sum(n), 0)::bigint AS n FROM {table} WHERE bucket >= w.a AND bucket < w.z) AS seen"
    )


def _visited(arguments: Arguments, stretches: Sequence[Stretch]) -> str:
    return each_of(arguments, [stretch.piece() for stretch in stretches], with_place=True)


def _by_source(arguments: Arguments, wanted: SearchFilter, cut: Sequence[Piece]) -> str:
    """Rows (source, n), to be added up; a source is in it once for each level. Whatever the pieces, the text is the
    same, if two of them are of rows: they are visited one by one, so that only their partitions are opened.
    """
    extra = narrowed(arguments, wanted)
    parts = []
    for level, table in ((Level.HOURS, ROLLUP_HOUR), (Level.MINUTES, ROLLUP_MINUTE)):
        of_level = [piece for piece in cut if piece.level is level]
        starts = arguments.add([piece.start for piece in of_level])
        ends = arguments.add([piece.end for piece in of_level])
        signs = arguments.add([1 if piece.is_added else -1 for piece in of_level])
        parts.append(
            "SELECT found.source, sum(w.sign * found.n)::bigint AS n FROM"
            f" unnest({starts}::timestamptz[], {ends}::timestamptz[], {signs}::bigint[]) AS w (a, z, sign)"
            f" CROSS JOIN LATERAL (SELECT source, n FROM {table} WHERE bucket >= w.a AND bucket < w.z{extra} OFFSET 0)"
            " AS found GROUP BY found.source"
        )
    rows = [piece for piece in cut if piece.level is Level.ROWS]
    if rows:
        parts.append(counted(arguments, wanted, rows, "source"))
    return " UNION ALL ".join(parts)


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
