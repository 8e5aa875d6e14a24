"""Answers how many events there are of each source, and of each severity, in a snapshot."""

from __future__ import annotations

from datetime import datetime

from ingest_gateway.contract import SEVERITIES
from query_api import aggregation_sql, source_sql, sql
from query_api.aggregation import SeriesKey, TopRequest, TopValues
from query_api.page_search import stored_until_of
from query_api.reading import Counts
from query_api.search import SearchFilter
from query_api.snapshot import Snapshot
from query_api.source_memory import Counted, SourceMemory
from query_api.timeline import alike_pieces


async def find_stats(
    snapshot: Snapshot, wanted: SearchFilter, topic: str, memory: SourceMemory, latest: datetime
) -> Counts:
    """Counts by severity and source, of a filter that counts can answer; after `latest` hardly anything happened."""
    cut = alike_pieces(wanted.start, wanted.end, latest)
    remembered = await memory.by_source(snapshot, wanted, topic, latest)
    counting = source_sql.stats if remembered is None else source_sql.severities
    rows = await snapshot.fetch(counting(wanted, cut, topic))
    (everything,) = (row for row in rows if row["kind"] == "all")
    severities = {SEVERITIES[row["severity"]]: row["n"] for row in rows if row["kind"] == "severity"}
    sources = everything["sources"]
    if remembered is None:
        largest = {row["source"]: row["n"] for row in rows if row["kind"] == "source"}
    else:
        largest, sources = dict(remembered[0].largest(sql.TOP_SOURCES)), remembered[0].sources
    return Counts(
        total=everything["n"],
        by_severity={name: severities.get(name, 0) for name in reversed(SEVERITIES)},
        by_source=largest,
        sources=sources,
        stored_until_us=stored_until_of(everything),
    )


async def recall_top(
    session: Snapshot, request: TopRequest, topic: str, memory: SourceMemory, latest: datetime
) -> TopValues | None:
    """The most frequent sources, if they can be remembered."""
    remembered = await memory.by_source(session, request.filter, topic, latest)
    return None if remembered is None else _top(remembered, request.limit)


async def find_top(
    snapshot: Snapshot, request: TopRequest, field: SeriesKey, topic: str, latest: datetime
) -> TopValues:
    """The most frequent values of a field that counts know, of a filter that they can answer."""
    wanted = request.filter
    cut = alike_pieces(wanted.start, wanted.end, latest)
    (positions,) = await snapshot.fetch(sql.stored_until(topic))
    rows = await snapshot.fetch(aggregation_sql.top(request, field, cut))
    distinct, total = (rows[0]["distinct_values"], rows[0]["total"]) if rows else (0, 0)
    values = [(row["value"], row["n"]) for row in rows]
    return TopValues(values, distinct, total, stored_until_of(positions))


def _top(counted: Counted, limit: int) -> TopValues:
    totals, state = counted
    return TopValues(totals.largest(limit), totals.sources, totals.events, stored_until_of(state))
