"""Pages and counts of filters that only the events themselves can answer: as much as there is time for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

from ingest_gateway.contract import SEVERITIES
from query_api import scan_sql, sql
from query_api.page_search import event_of, found_in
from query_api.positions import StoredUntil
from query_api.reading import Counts, EventPage, LoggedEvent
from query_api.search import MAX_ANSWER_BYTES, PageRequest, SearchFilter
from query_api.snapshot import Snapshot
from query_api.timeline import Window


class PageScan:
    """Collects the events of one page, slice by slice; what it has is a page also where it was broken off."""

    def __init__(self, request: PageRequest) -> None:
        self._request = request
        self._events: list[LoggedEvent] = []
        self._bytes = 0
        self._is_full = False

    async def look(self, snapshot: Snapshot, windows: list[Window]) -> bool:
        """Takes what the page has room for; whether it is full."""
        missing = replace(self._request, limit=self._request.limit - len(self._events))
        statement = sql.within_bytes(sql.page_within(missing, windows), MAX_ANSWER_BYTES - self._bytes)
        rows = await snapshot.fetch(statement)
        found = [event_of(row) for row in rows[: missing.limit]]
        self._events += found
        self._bytes += sum(event.size_bytes() for event in found)
        self._is_full = found_in(rows) > len(found) or self._bytes >= MAX_ANSWER_BYTES
        return self._is_full

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> EventPage:
        """What was found, with a total where all was seen."""
        total = None if self._request.cursor is None else self._request.cursor.total
        if self._is_full:
            return EventPage(total, self._events, has_more=True, stored_until_us=stored_until_us)
        if unseen_until is not None:
            return EventPage(total, self._events, True, stored_until_us, unseen_until)
        if self._request.cursor is None:
            total = len(self._events)
        return EventPage(total, self._events, has_more=False, stored_until_us=stored_until_us)


class CountScan:
    """Counts events by severity and source, slice by slice."""

    def __init__(self, wanted: SearchFilter) -> None:
        self._wanted = wanted
        self._severities: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()

    async def look(self, snapshot: Snapshot, windows: list[Window]) -> bool:
        """Adds the events of a slice; there is never enough."""
        for row in await snapshot.fetch(scan_sql.counts_within(self._wanted, windows)):
            self._severities[SEVERITIES[row["severity"]]] += row["n"]
            self._sources[row["source"]] += row["n"]
        return False

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> Counts:
        """What was counted, and down to where."""
        largest = sorted(self._sources.items(), key=lambda item: (-item[1], item[0]))[: sql.TOP_SOURCES]
        return Counts(
            total=self._severities.total(),
            by_severity={name: self._severities[name] for name in reversed(SEVERITIES)},
            by_source=dict(largest),
            sources=len(self._sources),
            stored_until_us=stored_until_us,
            scanned_until=unseen_until,
        )
