"""Every SQL text of the query API, composed from fixed fragments; whatever a client sent is a bound argument."""

# ruff: noqa: S608 - values go in as arguments; only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from query_api.filter_language.compiled import condition
from query_api.filter_language.expressions import EVERYTHING
from query_api.search import PageRequest, SearchFilter, below_cursor
from query_api.statement import Arguments, Statement
from query_api.timeline import Level, Piece, Window
from stream_app.contract import (
    CONSUMER_OFFSETS,
    COUNT_HOUR,
    COUNT_MINUTE,
    FOREIGN_IDS,
    LOGS,
    PROCESS_METRICS,
    PROCESS_METRICS_FOLDED,
    ROLLUP_HOUR,
    ROLLUP_MINUTE,
    ROLLUP_TOTAL,
)

COLUMNS: Final = "id, ts, severity, source, message, attributes, received_at"
NEWEST_FIRST: Final = "ORDER BY ts DESC, id DESC"
TOP_SOURCES: Final = 100
COUNTED_BY_SOURCE: Final = {Level.HOURS: ROLLUP_HOUR, Level.MINUTES: ROLLUP_MINUTE, Level.ROWS: LOGS}
COUNTED_OF_ALL: Final = {Level.HOURS: COUNT_HOUR, Level.MINUTES: COUNT_MINUTE, Level.ROWS: LOGS}


def narrowed(arguments: Arguments, wanted: SearchFilter) -> str:
    """` AND …` for severity, source and the filter; the same arguments serve each place in one statement."""
    text = ""
    if len(wanted.severities) == 1:
        text += f" AND severity = {arguments.add(wanted.severities[0])}::smallint"
    elif wanted.severities:
        text += f" AND severity = ANY({arguments.add(list(wanted.severities))}::smallint[])"
    if wanted.source is not None:
        text += f" AND source = {arguments.add(wanted.source)}"
    elif wanted.sources:
        text += f" AND source = ANY({arguments.add(list(wanted.sources))}::text[])"
    if wanted.expression != EVERYTHING:
        text += f" AND {condition(arguments, wanted.expression)}"
    return text


def _bounds(arguments: Arguments, column: str, start: datetime, end: datetime) -> str:
    return f"{column} >= {arguments.add(start)} AND {column} < {arguments.add(end)}"


def positions_columns(arguments: Arguments, topic: str) -> str:
    """Two columns: partitions, and until when each is stored, in microseconds."""
    of_topic = f"FROM {CONSUMER_OFFSETS} WHERE topic = {arguments.add(topic)}"
    until_us = "(extract(epoch FROM stored_until) * 1000000)::bigint"
    return (
        f"(SELECT array_agg(partition ORDER BY partition) {of_topic}) AS partitions, "
        f"(SELECT array_agg({until_us} ORDER BY partition) {of_topic}) AS until_us"
    )


def stored_until(topic: str) -> Statement:
    """How far each Kafka partition is stored."""
    arguments = Arguments()
    return arguments.statement(f"SELECT {positions_columns(arguments, topic)}")


def with_stored_until(found: Statement, topic: str) -> Statement:
    """The few rows of `found`, each with the two columns of positions; with only those columns not null where none was.

    One statement is a snapshot by itself: it spares the ways there and back of a transaction.
    """
    arguments = Arguments(found.arguments)
    until = positions_columns(arguments, topic)
    return arguments.statement(f"SELECT * FROM (SELECT {until}) AS until LEFT JOIN ({found.text}) AS found ON true")


def total(wanted: SearchFilter, cut: Sequence[Piece], topic: str) -> Statement:
    """One row: the exact number of matching events, and how far each partition is stored."""
    arguments = Arguments()
    cells = counted(arguments, wanted, cut)
    return arguments.statement(
        f"SELECT coalesce(sum(n), 0)::bigint AS total, {positions_columns(arguments, topic)} FROM ({cells}) AS counted"
    )


def counted(
    arguments: Arguments, wanted: SearchFilter, cut: Sequence[Piece], *keys: str, interval: timedelta | None = None
) -> str:
    """Signed counts `n` of the pieces, each by `keys`; to be added up. Without source they cost the same for any number
    of sources. With an `interval` also by `t`, the start of the interval in which they are.
    """
    extra = narrowed(arguments, wanted)
    tables = COUNTED_BY_SOURCE if wanted.is_by_source or "source" in keys else COUNTED_OF_ALL
    binned = [] if interval is None else [f"{in_interval(arguments, interval)} AS t"]
    # No column of an index by source: all sources there in turn would be looked through for a few moments of each.
    rows = "count(severity)" if "source" in keys else "count(*)"
    parts = []
    for piece in cut:
        column, n = ("ts", rows) if piece.level is Level.ROWS else ("bucket", "sum(n)")
        selected = [key.format(column=column) for key in [*binned, *keys]]
        grouped = f" GROUP BY {', '.join(str(place) for place in range(1, len(selected) + 1))}" if selected else ""
        sign = arguments.add(1 if piece.is_added else -1)
        bounds = _bounds(arguments, column, piece.start, piece.end)
        parts.append(
            f"SELECT {', '.join([*selected, f'{sign}::bigint * {n}::bigint AS n'])} FROM {tables[piece.level]}"
            f" WHERE {bounds}{extra}{grouped}"
        )
    return " UNION ALL ".join(parts)


def each_of(arguments: Arguments, windows: Sequence[Window | Piece], *, with_place: bool = False) -> str:
    """`FROM` one visit of each window, whose bounds are w.a and w.z, and `with_place` w.place; a subquery follows.

    Joined freely, the planner reads the whole table instead.
    """
    starts = arguments.add([window.start for window in windows])
    ends = arguments.add([window.end for window in windows])
    visit = "WITH ORDINALITY AS w (a, z, place)" if with_place else "AS w (a, z)"
    return f"unnest({starts}::timestamptz[], {ends}::timestamptz[]) {visit} CROSS JOIN LATERAL"


def in_interval(arguments: Arguments, interval: timedelta) -> str:
    """The start of the interval that `{column}` is in. They are counted from 1970: hours and days begin as in UTC."""
    return f"date_bin({arguments.add(interval)}::interval, {{column}}, 'epoch'::timestamptz)"


def page(request: PageRequest, arguments: Arguments) -> Statement:
    """The rows of one page by a scan from its newest end, and one more row where there is any."""
    wanted = request.filter
    extra = narrowed(arguments, wanted)
    below = _below_cursor(arguments, request, Window(wanted.start, wanted.end))
    return arguments.statement(
        f"SELECT {COLUMNS} FROM {LOGS} WHERE {below}{extra} {NEWEST_FIRST} "
        f"LIMIT {arguments.add(request.limit + 1)} OFFSET {arguments.add(request.offset)}"
    )


def _below_cursor(arguments: Arguments, request: PageRequest, within: Window) -> str:
    """The cursor's time is an upper bound too: the row comparison alone neither prunes nor moves the scan's start."""
    cursor = request.cursor
    if cursor is None:
        return _bounds(arguments, "ts", within.start, within.end)
    ts, identifier = arguments.add(cursor.ts), arguments.add(cursor.id)
    return f"ts >= {arguments.add(within.start)} AND ts <= {ts} AND (ts, id) < ({ts}, {identifier})"


def page_within(request: PageRequest, windows: Sequence[Window]) -> Statement:
    """The same page where matching events are known to lie only in `windows`: nothing else is visited."""
    arguments = Arguments()
    return page_of(request, each_of(arguments, windows), arguments)


def page_of(request: PageRequest, visited: str, arguments: Arguments) -> Statement:
    """The same of the stretches of time w.a to w.z that are visited, as `each_of` says it.

    What all of them lie within is told beforehand too: so few partitions are planned for.
    """
    cursor, within = request.cursor, below_cursor(request)
    bounds = _bounds(arguments, "ts", within.start, within.end)
    below = f" AND (ts, id) < ({arguments.add(cursor.ts)}, {arguments.add(cursor.id)})" if cursor is not None else ""
    extra = narrowed(arguments, request.filter)
    return arguments.statement(
        f"SELECT {COLUMNS} FROM {visited} ("
        f"SELECT {COLUMNS} FROM {LOGS} WHERE ts >= w.a AND ts < w.z AND {bounds}{below}{extra}"
        # With those of the same moment, among which the id decides: so an index by source and time gives the order.
        f" ORDER BY ts DESC FETCH FIRST ({arguments.add(request.limit + request.offset + 1)}) ROWS WITH TIES"
        f") AS found {NEWEST_FIRST} LIMIT {arguments.add(request.limit + 1)} OFFSET {arguments.add(request.offset)}"
    )


def event(identifier: UUID, start: datetime, end: datetime) -> Statement:
    """The event with this id within a stretch of time."""
    arguments = Arguments()
    bounds = _bounds(arguments, "ts", start, end)
    return arguments.statement(
        f"SELECT {COLUMNS} FROM {LOGS} WHERE {bounds} AND id = {arguments.add(identifier)} {NEWEST_FIRST} LIMIT 1"
    )


def within_bytes(found: Statement, most: int) -> Statement:
    """Its newest events, up to the one with which messages and attributes reach so many bytes.

    `found` says how many it has in all. PostgreSQL cuts, since what is not sent needs no memory here.
    """
    size = "octet_length(message) + coalesce(octet_length(attributes::text), 0)"
    return Statement(
        f"SELECT {COLUMNS}, found FROM (SELECT p.*, count(*) OVER () AS found, sum({size}) OVER ({NEWEST_FIRST} "
        f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ({found.text}) AS p) AS sized "
        f"WHERE coalesce(before, 0) < ${len(found.arguments) + 1}::bigint {NEWEST_FIRST}",
        (*found.arguments, most),
    )


def events(keys: Iterable[tuple[datetime, UUID]]) -> Statement:
    """The events with these times and ids."""
    pairs = list(keys)
    return Statement(
        f"SELECT l.* FROM unnest($1::timestamptz[], $2::uuid[]) AS k (ts, id) CROSS JOIN LATERAL ("
        f"SELECT {COLUMNS} FROM {LOGS} WHERE ts = k.ts AND id = k.id) AS l",
        ([ts for ts, _ in pairs], [identifier for _, identifier in pairs]),
    )


# The time ranges of those partitions that have an index beginning with `source`.
SOURCE_INDEXED: Final = Statement(
    r"SELECT (bounds)[1]::timestamptz AS a, (bounds)[2]::timestamptz AS z FROM ("
    r"SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS bounds "
    r"FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_index x ON x.indrelid = c.oid AND x.indisvalid "
    r"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0] AND a.attname = 'source' "
    r"WHERE i.inhparent = $1::regclass) AS found WHERE bounds IS NOT NULL",
    (LOGS,),
)

# Newest day first; the default partition, which may hold any time, last.
FOREIGN_ID_HOURS: Final = Statement(f"SELECT bucket FROM {FOREIGN_IDS} ORDER BY bucket DESC")


def positions(topic: str) -> Statement:
    """Each partition's position, its worker, and how long ago that worker was heard of, by the database's clock."""
    return Statement(
        "SELECT o.partition, o.next_offset, o.stored_until, o.worker, "
        "extract(epoch FROM clock_timestamp() - greatest(o.updated_at, (SELECT max(m.updated_at) "
        f"FROM {PROCESS_METRICS} m WHERE m.worker = o.worker)))::float8 AS silent_s "
        f"FROM {CONSUMER_OFFSETS} o WHERE o.topic = $1 ORDER BY o.partition",
        (topic,),
    )


FIGURES: Final = Statement(
    "SELECT t.total, m.process, m.role, m.counters::text AS counters, f.counters::text AS folded, "
    "extract(epoch FROM clock_timestamp() - m.started_at)::float8 AS age_s, "
    "extract(epoch FROM clock_timestamp() - m.updated_at)::float8 AS silent_s "
    f"FROM (SELECT coalesce(sum(n), 0)::bigint AS total FROM {ROLLUP_TOTAL}) AS t "
    f"LEFT JOIN {PROCESS_METRICS} m ON true LEFT JOIN {PROCESS_METRICS_FOLDED} f ON f.process = m.process"
)


def report(process: str, role: str, started_at: datetime, counters: str) -> Statement:
    """Writes this process's own row of figures."""
    return Statement(
        f"INSERT INTO {PROCESS_METRICS} (process, role, started_at, updated_at, counters) "
        "VALUES ($1, $2, $3, clock_timestamp(), $4::text::jsonb) ON CONFLICT (process) "
        "DO UPDATE SET updated_at = excluded.updated_at, counters = excluded.counters",
        (process, role, started_at, counters),
    )
