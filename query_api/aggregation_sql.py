"""SQL of histograms and of the values of a field: from counts, and event by event for a slice of time."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ingest_gateway.contract import LATEST
from query_api.aggregation import MOST_SERIES, HistogramRequest, SeriesKey, TopField, TopRequest
from query_api.filter_language.compiled import values_of
from query_api.filter_language.expressions import Attribute
from query_api.scan_sql import found_within
from query_api.search import SearchFilter
from query_api.sql import counted, in_interval
from query_api.statement import Arguments, Statement
from query_api.timeline import Piece, Window

# Of one slice; more distinct values than these are not brought here.
MOST_SLICE_VALUES: Final = 20_000


def histogram(request: HistogramRequest, latest: datetime = LATEST) -> Statement:
    """Rows (t, key, n) from counts. By source the largest have rows of their own, all others the key null."""
    arguments = Arguments()
    cells = counted(arguments, request.filter, request.cut(latest), request.by, interval=request.interval)
    if request.by == "severity":
        key, ranked = "severity", ""
    else:
        key = "CASE WHEN source IN (SELECT source FROM largest) THEN source END"
        ranked = (
            ", largest AS MATERIALIZED (SELECT source FROM cells GROUP BY source HAVING sum(n) > 0"
            f" ORDER BY sum(n) DESC, source LIMIT {MOST_SERIES})"
        )
    return arguments.statement(
        f"WITH cells AS MATERIALIZED ({cells}){ranked} SELECT t, {key} AS key, sum(n)::bigint AS n FROM cells"
        " GROUP BY 1, 2 HAVING sum(n) > 0"
    )


def histogram_within(request: HistogramRequest, windows: Sequence[Window]) -> Statement:
    """The same of the events of these windows, counted one by one; every source has rows of its own."""
    arguments = Arguments()
    binned = in_interval(arguments, request.interval).format(column="ts")
    found = found_within(arguments, request.filter, windows, f"{binned} AS t, {request.by} AS key")
    return arguments.statement(f"SELECT t, key, count(*) AS n FROM {found} GROUP BY t, key")


def top(request: TopRequest, field: SeriesKey, cut: Sequence[Piece]) -> Statement:
    """Rows (value, n, distinct_values, total) from counts, largest first."""
    arguments = Arguments()
    cells = counted(arguments, request.filter, cut, field)
    return arguments.statement(
        f"SELECT {field} AS value, sum(n)::bigint AS n, count(*) OVER () AS distinct_values,"
        f" (sum(sum(n)) OVER ())::bigint AS total FROM ({cells}) AS cells GROUP BY {field} HAVING sum(n) > 0"
        f" ORDER BY n DESC, {field} LIMIT {arguments.add(request.limit)}"
    )


def top_within(wanted: SearchFilter, field: TopField, windows: Sequence[Window], most_chars: int) -> Statement:
    """Rows (value, n, total) of the events of these windows, the most frequent first; of a list each element counts.

    Longer values than `most_chars` are one row together, whose value is null. `total` is that of all rows, also of
    those that are too many to be brought here.
    """
    arguments = Arguments()
    if isinstance(field, Attribute):
        found = found_within(arguments, wanted, windows, "attributes")
        found = f"{found} CROSS JOIN LATERAL {values_of(arguments, field.path)} AS v (v)"
        value = f"CASE WHEN length(v) <= {arguments.add(most_chars)} THEN v END"
    else:
        found, value = found_within(arguments, wanted, windows, f"{field} AS v"), "v"
    return arguments.statement(
        f"SELECT {value} AS value, count(*) AS n, (sum(count(*)) OVER ())::bigint AS total FROM {found} GROUP BY 1"
        f" ORDER BY n DESC LIMIT {MOST_SLICE_VALUES}"
    )
