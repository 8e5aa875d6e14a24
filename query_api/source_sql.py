"""SQL of counts by source and severity: all at once, or of stretches, with what proves that others still hold."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence

from query_api.search import SearchFilter
from query_api.sql import TOP_SOURCES, counted, positions_columns
from query_api.statement import Arguments, Statement
from query_api.timeline import Piece
from stream_app.contract import COUNT_HOUR, RETENTION_DROPS, ROLLUP_TOTAL


def by_source(wanted: SearchFilter, cut: Sequence[Piece]) -> Statement:
    """Rows (source, n): the signed counts of these pieces, of every source that has any."""
    arguments = Arguments()
    cells = counted(arguments, wanted, cut, "source")
    return arguments.statement(f"SELECT source, sum(n)::bigint AS n FROM ({cells}) AS cells GROUP BY source")


def hours_now(whole_hours: Piece, topic: str) -> Statement:
    """One row: the hours since 1970 that have events, oldest first, how many each has, and how far all is stored.

    `drops` and `started_us` are others where counts may have been lowered, by retention, or in a restored database:
    while both are the same, counts only grow. `cells` is about how many severities of sources there are.
    """
    arguments = Arguments()
    start, end = arguments.add(whole_hours.start), arguments.add(whole_hours.end)
    return arguments.statement(
        "SELECT array_agg(hour ORDER BY hour) AS hours, array_agg(n ORDER BY hour) AS counts,"
        f" (SELECT coalesce(max(id), 0) FROM {RETENTION_DROPS}) AS drops,"
        " (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started_us,"
        f" (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = '{ROLLUP_TOTAL}'::regclass) AS cells,"
        f" {positions_columns(arguments, topic)}"
        " FROM (SELECT (extract(epoch FROM bucket) / 3600)::bigint AS hour, sum(n)::bigint AS n"
        f" FROM {COUNT_HOUR} WHERE bucket >= {start} AND bucket < {end} GROUP BY bucket) AS counted"
    )


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
