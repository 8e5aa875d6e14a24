"""Finds one page in a snapshot, statement by statement, as far as there is time; mostly the first one has all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from ingest_gateway.contract import EARLIEST, LATEST, SEVERITIES
from query_api import page_sql
from query_api.page_sql import UNBOUNDED, PagePlan
from query_api.positions import StoredUntil
from query_api.reading import EventPage, LoggedEvent
from query_api.search import MAX_ANSWER_BYTES, Cursor, PageRequest, SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.timeline import Window, alike_pieces

_MICROSECOND: Final = timedelta(microseconds=1)
# How far back the newest events of some severities are looked for; after the last of these, in all time.
_LOOKED_BACK: Final = (timedelta(days=1), timedelta(days=8), timedelta(days=64))
# Rows that one statement may meet: about a twentieth of a second.
_MOST_ROWS: Final = 200_000
_NO_ID: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class PageSearch:
    """How a page is searched.

    `source_indexed` are the times of partitions with an index by source; they make it quicker and find the same. After
    `latest` hardly anything happened. One statement meets about `most_rows` rows, and once `is_over` is true no other
    is begun.
    """

    topic: str
    source_indexed: Sequence[Window] = ()
    latest: datetime = LATEST
    most_rows: int = _MOST_ROWS
    is_over: Callable[[], bool] = lambda: False


async def find_page(snapshot: Snapshot, request: PageRequest, search: PageSearch) -> EventPage:
    """The page, its exact total and the stored positions, of one snapshot."""
    wanted, cursor = request.filter, request.cursor
    cut = alike_pieces(wanted.start, wanted.end, search.latest) if cursor is None else None
    # A page by offset is one statement: how many events it has passed over is not known here.
    most_rows = search.most_rows if not request.offset else UNBOUNDED
    plan = PagePlan(search.topic, cut, search.source_indexed, most_rows)
    found = await _find(snapshot, request, plan, search.is_over)
    total = found.head["total"] if cursor is None else cursor.total
    return EventPage(total, found.events, found.has_more, stored_until_of(found.head), found.unseen_until)


async def find_newest(
    snapshot: Snapshot, severities: Sequence[int], latest: datetime, limit: int, topic: str
) -> EventPage:
    """The newest events up to `latest`. Of some severities they are looked for as in a page, in ever longer ranges:
    counts of all time are many.
    """
    end = latest + _MICROSECOND
    starts = [max(end - back, EARLIEST) for back in _LOOKED_BACK] if severities else []
    for start in (*starts, EARLIEST):
        request = PageRequest(SearchFilter(start, end, tuple(sorted(severities))), limit)
        found = await _find(snapshot, request, PagePlan(topic), lambda: False)
        if found.has_more or len(found.events) == limit:
            break
    return EventPage(len(found.events), found.events, has_more=False, stored_until_us=stored_until_of(found.head))


@dataclass(frozen=True, slots=True)
class _Found:
    """The events of a page. Before `unseen_until` nothing was looked at. `head` is the row that the first had before
    them.
    """

    head: Row
    events: Sequence[LoggedEvent]
    has_more: bool
    unseen_until: datetime | None


async def _find(snapshot: Snapshot, request: PageRequest, plan: PagePlan, is_over: Callable[[], bool]) -> _Found:
    """Statement by statement, newest first.

    1. All of it in one statement, if its rows lie among few others.
    2. Otherwise the next one goes on below: so it is with a source that is rare among very many events of the day being
       filled, which has no index by source yet.
    """
    first, *rows = await snapshot.fetch(page_sql.page(request, plan))  # 1
    events = [event_of(row) for row in rows[: request.limit]]
    has_more, unseen_until = found_in(rows) > len(events), first["unseen_until"]
    while unseen_until is not None and not has_more:  # 2
        left_bytes = MAX_ANSWER_BYTES - sum(event.size_bytes() for event in events)
        if is_over() or left_bytes <= 0:
            return _Found(first, events, True, unseen_until)
        rest = replace(request, cursor=Cursor(unseen_until, _NO_ID, None, None), limit=request.limit - len(events))
        head, *rows = await snapshot.fetch(page_sql.page(rest, replace(plan, cut=None, most_bytes=left_bytes)))
        found = [event_of(row) for row in rows[: rest.limit]]
        events += found
        has_more, unseen_until = found_in(rows) > len(found), head["unseen_until"]
    return _Found(first, events, has_more, None)


def found_in(rows: Sequence[Row]) -> int:
    """How many rows there are, those that `within_bytes` left out included."""
    return rows[0]["found"] if rows else 0


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
