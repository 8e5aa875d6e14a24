"""SQL of searches that must look at events: where there are any, and which of them are wanted."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from query_api.search import SearchFilter
from query_api.sql import COUNTED_BY_SOURCE, COUNTED_OF_ALL, each_of, narrowed
from query_api.statement import Arguments, Statement
from query_api.timeline import HOUR, Level, Window, floor_to
from stream_app.contract import LOGS


def events_to_read(wanted: SearchFilter, step: timedelta, within: Window, most: int) -> Statement:
    """Rows (bucket, n), newest first: the hours or minutes that may hold wanted events, and how many of any kind.

    `wanted` is of counts. A bucket's events must all be looked at, since nothing but time leads to them.
    """
    arguments = Arguments()
    level = Level.HOURS if step == HOUR else Level.MINUTES
    start, end = arguments.add(floor_to(within.start, step)), arguments.add(within.end)
    has_wanted = ""
    if wanted.is_narrowed:
        table = (COUNTED_BY_SOURCE if wanted.is_by_source else COUNTED_OF_ALL)[level]
        has_wanted = (
            f" AND bucket IN (SELECT bucket FROM {table} WHERE bucket >= {start} AND bucket < {end} AND n > 0"
            f"{narrowed(arguments, wanted)})"
        )
    return arguments.statement(
        f"SELECT bucket, sum(n)::bigint AS n FROM {COUNTED_OF_ALL[level]} WHERE bucket >= {start} AND bucket < {end}"
        f"{has_wanted} GROUP BY bucket HAVING sum(n) > 0 ORDER BY bucket DESC LIMIT {arguments.add(most)}"
    )


def counts_within(wanted: SearchFilter, windows: Sequence[Window]) -> Statement:
    """Rows (severity, source, n): the wanted events of these windows, counted one by one."""
    arguments = Arguments()
    found = found_within(arguments, wanted, windows, "severity, source")
    return arguments.statement(f"SELECT severity, source, count(*) AS n FROM {found} GROUP BY severity, source")


def found_within(arguments: Arguments, wanted: SearchFilter, windows: Sequence[Window], columns: str) -> str:
    """`FROM` the wanted events of these windows, as `found` with these columns.

    OFFSET 0 keeps each window one visit of the index: the planner would join the whole table with many of them instead.
    """
    visited = each_of(arguments, windows)
    within = f"ts >= w.a AND ts < w.z{narrowed(arguments, wanted)}"
    return f"{visited} (SELECT {columns} FROM {LOGS} WHERE {within} OFFSET 0) AS found"
