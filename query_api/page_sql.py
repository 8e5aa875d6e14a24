"""SQL of a whole page: total, positions and rows in one statement, which is a snapshot by itself."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from query_api import sql
from query_api.filter_language.expressions import EVERYTHING
from query_api.search import MAX_ANSWER_BYTES, PageRequest, below_cursor
from query_api.statement import Arguments, Statement
from query_api.timeline import HOUR, MINUTE, Level, Piece, Window, floor_to
from stream_app.contract import COUNT_MINUTE

# One row with an empty id stands before the events and says what is known of all of them.
_HEAD: Final = "total, partitions, until_us, unseen_until"
_NO_EVENT: Final = (
    "NULL::uuid AS id, NULL::timestamptz AS ts, NULL::smallint AS severity, NULL::text AS source,"
    " NULL::text AS message, NULL::json AS attributes, NULL::timestamptz AS received_at, NULL::bigint AS found"
)
UNBOUNDED: Final = 1 << 62
# Added to sums that leave out the row itself.
_NEWER: Final = "OVER (ORDER BY {by} DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


@dataclass(frozen=True, slots=True)
class PagePlan:
    """How a page is looked for.

    `cut` are the pieces of its total, where that is wanted. `source_indexed` are the times of partitions with an index
    by source. No stretch of time is begun after about `most_rows` rows were met.
    """

    topic: str
    cut: Sequence[Piece] | None = None
    source_indexed: Sequence[Window] = ()
    most_rows: int = UNBOUNDED
    most_bytes: int = MAX_ANSWER_BYTES


def page(request: PageRequest, plan: PagePlan) -> Statement:
    """A row of what is known of all events, with an empty id, and then the rows of one page, and one more if any.

    The first has `total` (NULL without `cut`), the positions, and `unseen_until` where only events before that moment
    were left out for being too many rows to meet. Each other row says with `found` how many there are, as
    `sql.within_bytes` does.

    1. With severity or source: the stretches of time that hold the page's events, by the counts.
    2. The total, from counts and edges.
    3. The rows, of these stretches only.
    """
    arguments = Arguments()
    if request.filter.is_narrowed:
        tables = _stretches(arguments, request, plan)  # 1
        unseen = f"(SELECT max(z) FROM stretches WHERE newer_rows >= {arguments.add(plan.most_rows)}::bigint)"
    else:
        tables, unseen = [], "NULL::timestamptz"
    tables.append(f"head AS MATERIALIZED (SELECT {_total(arguments, request, plan)}, {unseen} AS unseen_until)")  # 2
    rows = sql.within_bytes(_rows(arguments, request, plan), plan.most_bytes)  # 3
    return Statement(
        f"WITH {', '.join(tables)} SELECT {_NO_EVENT}, {_HEAD} FROM head UNION ALL"
        f" (SELECT {sql.COLUMNS}, found, NULL, NULL, NULL, NULL FROM ({rows.text}) AS page)"
        # The empty time is the first.
        f" {sql.NEWEST_FIRST}",
        rows.arguments,
        # Of filters there are too many, and what they cost differs too much.
        is_planned_once=request.filter.expression == EVERYTHING,
    )


def _total(arguments: Arguments, request: PageRequest, plan: PagePlan) -> str:
    """The columns `total`, `partitions` and `until_us`; without a cut the total is not known here."""
    until = sql.positions_columns(arguments, plan.topic)
    if plan.cut is None:
        return f"NULL::bigint AS total, {until}"
    cells = sql.counted(arguments, request.filter, plan.cut)
    return f"(SELECT coalesce(sum(n), 0)::bigint FROM ({cells}) AS counted) AS total, {until}"


def _stretches(arguments: Arguments, request: PageRequest, plan: PagePlan) -> list[str]:
    """Common table expressions, of which `stretches` has the newest stretches of time (a, z) that together hold one
    more event than the page needs, or all there are; with about how many rows are met in the newer ones.

    1. The hours with matching events.
    2. Where an index by source finds them at once, the hour will do.
    3. Of the other hours, the minutes: so rows that do not match are met only in minutes where one does.
    4. A stretch with too many rows is several.
    """
    wanted, within = request.filter, below_cursor(request)
    tables = sql.COUNTED_BY_SOURCE if wanted.is_by_source else sql.COUNTED_OF_ALL
    extra = sql.narrowed(arguments, wanted)
    a, z = arguments.add(within.start), arguments.add(within.end)
    hour, minute = arguments.add(floor_to(within.start, HOUR)), arguments.add(floor_to(within.start, MINUTE))
    need, most_rows = arguments.add(request.limit + request.offset + 1), arguments.add(plan.most_rows)
    hours = (
        f"SELECT bucket, sum(n)::bigint AS n FROM {tables[Level.HOURS]}"
        f" WHERE bucket >= {hour} AND bucket < {z}{extra} GROUP BY bucket"
    )
    minutes = _minutes(tables[Level.MINUTES], extra, minute, z)
    met = f"(SELECT sum(c.n)::bigint FROM {COUNT_MINUTE} AS c WHERE c.bucket = minutes.bucket)"
    indexed, indexed_from = _indexed(arguments, request, plan)
    return [
        f"hours AS MATERIALIZED (SELECT needed.*, {indexed_from} AS indexed_from"
        f" FROM ({_needed(hours, 'hour', a, z, need)}) AS needed{indexed})",  # 1
        f"minutes AS MATERIALIZED ({_needed(minutes, 'minute', a, z, need)})",  # 3
        f"cut AS (SELECT greatest(first, {a}) AS a, least(last, {z}) AS z, rows FROM ("
        "SELECT min(bucket) AS first, max(bucket) + interval '1 hour' AS last, sum(n) AS rows FROM hours"
        " WHERE indexed_from IS NOT NULL GROUP BY indexed_from"  # 2
        f" UNION ALL SELECT bucket, bucket + interval '1 minute', {met} FROM minutes) AS found)",
        "parts AS (SELECT a + (z - a) * part / parts AS a, a + (z - a) * (part + 1) / parts AS z, rows / parts AS rows"
        f" FROM (SELECT *, {_parts(most_rows)} AS parts FROM cut WHERE a < z) AS whole"
        " CROSS JOIN LATERAL generate_series(0, parts - 1) AS part)",  # 4
        f"stretches AS MATERIALIZED (SELECT a, z, coalesce(sum(rows) {_NEWER.format(by='a')}, 0) AS newer_rows"
        " FROM parts)",
    ]


def _minutes(table: str, extra: str, first: str, z: str) -> str:
    """Those of the hours that have no index by source. Each is a visit of the counts: so other sources cost nothing,
    however many a minute has.
    """
    return (
        "SELECT minute AS bucket, counted.n FROM hours CROSS JOIN LATERAL generate_series("
        f"greatest(bucket, {first}), least(bucket + interval '59 minutes', {z}), interval '1 minute') AS minute"
        f" CROSS JOIN LATERAL (SELECT sum(n)::bigint AS n FROM {table} WHERE bucket = minute{extra}) AS counted"
        " WHERE indexed_from IS NULL AND counted.n > 0"
    )


def _needed(buckets: str, width: str, a: str, z: str, need: str) -> str:
    """The newest of these hours or minutes until `need` events are certain.

    Only whole ones count towards that: of a cut one it is not known how many of its events are wanted.
    """
    counted = f"CASE WHEN bucket >= {a} AND bucket + interval '1 {width}' <= {z} THEN n ELSE 0 END"
    newer = f"sum({counted}) {_NEWER.format(by='bucket')}"
    return (
        f"SELECT bucket, n FROM (SELECT bucket, n, {newer} AS newer FROM ({buckets}) AS buckets) AS ranked"
        f" WHERE coalesce(newer, 0) < {need}"
    )


def _parts(most_rows: str) -> str:
    """In how many parts a stretch is visited: each has a microsecond at least, so that each gets further down."""
    return f"greatest(least(ceil(rows::float8 / {most_rows}::bigint), extract(epoch FROM z - a) * 1000000), 1)::bigint"


def _indexed(arguments: Arguments, request: PageRequest, plan: PagePlan) -> tuple[str, str]:
    """A join that gives `indexed_from` to hours whose events an index by source leads to: where that index begins."""
    if request.filter.source is None or not plan.source_indexed:
        return "", "NULL::timestamptz"
    starts = arguments.add([window.start for window in plan.source_indexed])
    ends = arguments.add([window.end for window in plan.source_indexed])
    join = (
        f" LEFT JOIN unnest({starts}::timestamptz[], {ends}::timestamptz[]) AS indexed (a, z)"
        " ON indexed.a <= bucket AND bucket + interval '1 hour' <= indexed.z"
    )
    return join, "indexed.a"


def _rows(arguments: Arguments, request: PageRequest, plan: PagePlan) -> Statement:
    if not request.filter.is_narrowed:
        return sql.page(request, arguments)
    seen = f"newer_rows < {arguments.add(plan.most_rows)}::bigint"
    return sql.page_of(request, f"(SELECT a, z FROM stretches WHERE {seen}) AS w CROSS JOIN LATERAL", arguments)
