"""Finds what the same source logged around an event: by counts first, so that a rare source costs no scan."""

from __future__ import annotations

from query_api import context_sql
from query_api.context_sql import Side
from query_api.page_search import event_of
from query_api.reading import LoggedEvent
from query_api.snapshot import Snapshot
from query_api.timeline import HOUR, MINUTE, Window


async def find_side(snapshot: Snapshot, side: Side) -> list[LoggedEvent]:
    """The events of one side, oldest first."""
    if not side.limit:
        return []
    hours = await snapshot.fetch(context_sql.buckets(side, HOUR, [side.within()]))
    windows = [Window(hour["bucket"], hour["bucket"] + HOUR) for hour in hours]
    minutes = await snapshot.fetch(context_sql.buckets(side, MINUTE, windows)) if windows else []
    # An hour's minutes may all be on the other side of the event; the next hours were asked for as well.
    found = await snapshot.fetch(context_sql.events(side, [minute["bucket"] for minute in minutes])) if minutes else []
    events = [event_of(row) for row in found]
    return events[::-1] if side.is_before else events
