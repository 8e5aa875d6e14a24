"""Finds one page in a snapshot: counts from rollups first, then visits only the time that holds matching events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final

import msgspec

from ingest_gateway.contract import EARLIEST, LATEST, SEVERITIES
from query_api import sql
from query_api.positions import StoredUntil
from query_api.reading import EventPage, LoggedEvent
from query_api.search import MAX_ANSWER_BYTES, PageRequest, SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.timeline import HOUR, MINUTE, Window, joined, pieces

_MICROSECOND: Final = timedelta(microseconds=1)
# How far back the newest events of some severities are looked for; after the last of these, in all time.
_LOOKED_BACK: Final = (timedelta(days=1), timedelta(days=8), timedelta(days=64))


async def find_page(
    snapshot: Snapshot,
    request: PageRequest,
    topic: str,
    source_indexed: Sequence[Window] = (),
    latest: datetime = LATEST,
) -> EventPage:
    """The page, its exact total and the stored positions, of one snapshot.

    1. The total, from rollups and edges; a cursor brings it along.
    2. With severity or source: the stretches of time that hold the page's events. Found by rollups, so that a rare
       source does not cost a scan of everything else.
    3. The rows, of these stretches only.

    `source_indexed` are the times of partitions with an index by source; they make it quicker and find the same.
    After `latest` hardly anything happened.
    """
    total, stored_until = await _total(snapshot, request, topic, latest)  # 1
    if total == 0 and request.cursor is None:
        return EventPage(0, (), has_more=False, stored_until_us=stored_until)
    statement = sql.page(request)
    if request.filter.is_narrowed:
        statement = sql.page_within(request, await _stretches(snapshot, request, source_indexed))  # 2
    rows = await snapshot.fetch(sql.within_bytes(statement, MAX_ANSWER_BYTES))  # 3
    events = [event_of(row) for row in rows[: request.limit]]
    return EventPage(total, events, found_in(rows) > len(events), stored_until)


async def find_newest(snapshot: Snapshot, severities: Sequence[int], latest: datetime, limit: int) -> list[LoggedEvent]:
    """The newest events up to `latest`. Of some severities they are looked for as in a page, in ever longer ranges:
    counts of all time are many.
    """
    if not severities:
        newest = sql.within_bytes(sql.recent(latest, limit), MAX_ANSWER_BYTES)
        return [event_of(row) for row in await snapshot.fetch(newest)]
    rows: Sequence[Row] = ()
    end = latest + _MICROSECOND
    for start in (*(max(end - back, EARLIEST) for back in _LOOKED_BACK), EARLIEST):
        request = PageRequest(SearchFilter(start, end, tuple(sorted(severities))), limit)
        statement = sql.page_within(request, await _stretches(snapshot, request))
        rows = await snapshot.fetch(sql.within_bytes(statement, MAX_ANSWER_BYTES))
        if found_in(rows) >= limit:
            break
    return [event_of(row) for row in rows[:limit]]


def found_in(rows: Sequence[Row]) -> int:
    """How many rows there are, those that `within_bytes` left out included."""
    return rows[0]["found"] if rows else 0


async def _total(
    snapshot: Snapshot, request: PageRequest, topic: str, latest: datetime
) -> tuple[int | None, StoredUntil]:
    if request.cursor is not None:
        (row,) = await snapshot.fetch(sql.stored_until(topic))
        return request.cursor.total, stored_until_of(row)
    wanted = request.filter
    (row,) = await snapshot.fetch(sql.total(wanted, pieces(wanted.start, wanted.end, latest), topic))
    return row["total"], stored_until_of(row)


async def _stretches(snapshot: Snapshot, request: PageRequest, source_indexed: Sequence[Window] = ()) -> list[Window]:
    """The newest stretches of time that together hold one more event than the page needs, or all there are.

    1. The hours with matching events.
    2. Where an index by source finds them at once, the hour will do.
    3. Of the other hours, the minutes: so rows that do not match are met only in minutes where one does.
    """
    wanted, within = request.filter, below_cursor(request)
    need = request.limit + request.offset + 1
    hours = await snapshot.fetch(sql.matching_buckets(wanted, HOUR, [within], _whole(within, HOUR), need))  # 1
    indexed = source_indexed if wanted.source is not None else ()
    found = joined((hour["bucket"] for hour in hours if _holds(indexed, hour["bucket"])), HOUR, within)  # 2
    others = [hour for hour in hours if not _holds(indexed, hour["bucket"])]
    if others:
        found += await _minutes(snapshot, wanted, others, within, need)  # 3
    return found


async def _minutes(
    snapshot: Snapshot, wanted: SearchFilter, hours: Sequence[Row], within: Window, need: int
) -> list[Window]:
    """The minutes of these hours that hold matching events."""
    searched = joined((hour["bucket"] for hour in hours), HOUR, within)
    # What the hours say about severities makes the look at their minutes several times cheaper.
    met = reduce(or_, (hour["severities"] for hour in hours), 0)
    narrowed = replace(wanted, severities=tuple(code for code in range(len(SEVERITIES)) if met >> code & 1))
    minutes = await snapshot.fetch(sql.matching_buckets(narrowed, MINUTE, searched, _whole(within, MINUTE), need))
    return joined((minute["bucket"] for minute in minutes), MINUTE, within)


def below_cursor(request: PageRequest) -> Window:
    """The time that is left of the range."""
    wanted, cursor = request.filter, request.cursor
    if cursor is None:
        return Window(wanted.start, wanted.end)
    # No event has an id of zeros, so none of that moment is left: a search that goes on always gets further down.
    left = _MICROSECOND if cursor.id.int else timedelta()
    return Window(wanted.start, min(cursor.ts + left, wanted.end))


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
