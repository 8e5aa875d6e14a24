"""Finds one page in a snapshot: counts from rollups first, then visits only the time that holds matching events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Final, Protocol

import msgspec

from ingest_gateway.contract import EARLIEST, SEVERITIES
from query_api import sql
from query_api.reading import EventPage, LoggedEvent, StoredUntil
from query_api.search import MAX_ANSWER_BYTES, PageRequest, SearchFilter
from query_api.timeline import HOUR, MINUTE, Window, joined, pieces

_MICROSECOND: Final = timedelta(microseconds=1)
_A_DAY: Final = timedelta(days=1)

Row = Mapping[str, Any]


class Snapshot(Protocol):
    """Runs statements that all see the same state."""

    async def fetch(self, statement: sql.Statement) -> Sequence[Row]: ...


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """What makes some ways to a page quicker; every choice of them finds the same.

    `source_indexed`: times of partitions with an index by source. `dense_per_hour`: with this many matching events an
    hour, a scan from the newest end meets a page of them sooner than minutes are found.
    """

    source_indexed: Sequence[Window] = ()
    dense_per_hour: int = 3000


async def find_page(snapshot: Snapshot, request: PageRequest, topic: str, shortcuts: Shortcuts) -> EventPage:
    """The page, its exact total and the stored positions, of one snapshot.

    1. The total, from rollups and edges; a cursor brings it along.
    2. With severity or source: the hours that hold the newest matching events, and where those are few in an hour,
       the minutes. Found by rollups, so that a rare source does not cost a scan of everything else. Where there is
       an index by source, hours do.
    3. The rows, of these stretches of time only.
    """
    total, stored_until = await _total(snapshot, request, topic)  # 1
    if total == 0 and request.cursor is None:
        return EventPage(0, (), has_more=False, stored_until_us=stored_until)
    statement = sql.page(request)
    if request.filter.is_narrowed:
        statement = await _narrowed_page(snapshot, request, shortcuts)  # 2
    rows = await snapshot.fetch(sql.within_bytes(statement, MAX_ANSWER_BYTES))  # 3
    events = [event_of(row) for row in rows[: request.limit]]
    return EventPage(total, events, _found(rows) > len(events), stored_until)


async def find_newest(snapshot: Snapshot, severities: Sequence[int], latest: datetime, limit: int) -> list[LoggedEvent]:
    """The newest events up to `latest`. Those of a severity that is rare are looked for as in a page, in the last day
    first: the rollups of all time are large.
    """
    if not severities:
        newest = sql.within_bytes(sql.recent(latest, limit), MAX_ANSWER_BYTES)
        return [event_of(row) for row in await snapshot.fetch(newest)]
    rows: Sequence[Row] = ()
    end = latest + _MICROSECOND
    for start in (end - _A_DAY, EARLIEST):
        request = PageRequest(SearchFilter(start, end, tuple(sorted(severities))), limit)
        statement = await _narrowed_page(snapshot, request, Shortcuts())
        rows = await snapshot.fetch(sql.within_bytes(statement, MAX_ANSWER_BYTES))
        if _found(rows) >= limit:
            break
    return [event_of(row) for row in rows[:limit]]


def _found(rows: Sequence[Row]) -> int:
    """How many rows there are, those that `within_bytes` left out included."""
    return rows[0]["found"] if rows else 0


async def _total(snapshot: Snapshot, request: PageRequest, topic: str) -> tuple[int, StoredUntil]:
    if request.cursor is not None:
        (row,) = await snapshot.fetch(sql.stored_until(topic))
        return request.cursor.total, stored_until_of(row)
    wanted = request.filter
    (row,) = await snapshot.fetch(sql.total(wanted, pieces(wanted.start, wanted.end), topic))
    return row["total"], stored_until_of(row)


async def _narrowed_page(snapshot: Snapshot, request: PageRequest, shortcuts: Shortcuts) -> sql.Statement:
    wanted, cursor = request.filter, request.cursor
    within = Window(wanted.start, wanted.end if cursor is None else min(cursor.ts + _MICROSECOND, wanted.end))
    need = request.limit + request.offset + 1
    hours = await snapshot.fetch(sql.matching_buckets(wanted, HOUR, [within], _whole(within, HOUR), need))
    windows = joined((hour["bucket"] for hour in hours), HOUR, within)
    if windows and len(hours) <= 2 and sum(hour["n"] for hour in hours) >= shortcuts.dense_per_hour * len(hours):
        newest_part = replace(wanted, start=windows[-1].start, end=windows[0].end)
        return sql.page(replace(request, filter=newest_part))
    quick: set[datetime] = set()
    if wanted.source is not None:
        quick = {hour["bucket"] for hour in hours if _holds(shortcuts.source_indexed, hour["bucket"])}
        # What the hours say about severities makes the look at their minutes several times cheaper.
        found = reduce(or_, (hour["severities"] for hour in hours), 0)
        wanted = replace(wanted, severities=tuple(code for code in range(len(SEVERITIES)) if found >> code & 1))
    windows = joined((hour["bucket"] for hour in hours if hour["bucket"] not in quick), HOUR, within)
    minutes: Sequence[Row] = ()
    if windows:
        minutes = await snapshot.fetch(sql.matching_buckets(wanted, MINUTE, windows, _whole(within, MINUTE), need))
    visited = joined((minute["bucket"] for minute in minutes), MINUTE, within)
    return sql.page_within(request, visited + joined(sorted(quick, reverse=True), HOUR, within))


def _holds(windows: Sequence[Window], hour: datetime) -> bool:
    return any(window.start <= hour and hour + HOUR <= window.end for window in windows)


def _whole(within: Window, step: timedelta) -> Window:
    """The starts of those hours or minutes that lie wholly within."""
    return Window(within.start, within.end - step + _MICROSECOND)


def event_of(row: Row) -> LoggedEvent:
    """One row of `sql.COLUMNS`."""
    attributes = row["attributes"]
    return LoggedEvent(
        row["id"],
        row["ts"],
        SEVERITIES[row["severity"]],
        row["source"],
        row["message"],
        row["received_at"],
        msgspec.UNSET if attributes is None else msgspec.Raw(attributes.encode()),
    )


def stored_until_of(row: Row) -> StoredUntil:
    """The two columns of positions; empty when no partition was ever assigned."""
    return dict(zip(row["partitions"] or (), row["until_us"] or (), strict=True))
