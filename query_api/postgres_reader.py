"""The query API's reader over PostgreSQL: which statements answer which question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from query_api import aggregation_sql, sql
from query_api.abandoned import is_abandoned
from query_api.absent_ids import AbsentIds
from query_api.aggregation import Histogram, HistogramRequest, TopRequest, TopValues
from query_api.aggregation_scan import HistogramScan, TopScan
from query_api.context_search import Pace, find_side
from query_api.context_sql import Side
from query_api.event_lookup import EventLookup
from query_api.fields import Facets, FacetsRequest, Fields, FieldsRequest
from query_api.fields_scan import FacetsScan, FieldsScan
from query_api.filter_language.bounds import asks_for_source
from query_api.filter_language.expressions import Attribute
from query_api.page_scan import CountScan, PageScan
from query_api.page_search import PageSearch, event_of, find_newest, find_page, stored_until_of
from query_api.positions import StoredUntil
from query_api.postgres_pools import Connections
from query_api.reading import (
    Counts,
    EventContext,
    EventPage,
    LoggedEvent,
    Price,
    ProcessFigures,
    QueryTimeoutError,
    StoredPosition,
)
from query_api.scan import DEFAULT_POLICY, Found, Scan, ScanPolicy, Search
from query_api.scan_windows import ScanWindows
from query_api.search import MAX_ANSWER_BYTES, PageRequest, SearchFilter, below_cursor
from query_api.single_flight import SingleFlight
from query_api.snapshot import Snapshot
from query_api.source_counts import find_stats, find_top, recall_top
from query_api.source_indexed import SourceIndexed
from query_api.source_learning import SourceLearning
from query_api.source_memory import SourceMemory
from query_api.source_names import named
from query_api.timeline import Window, pieces
from stream_app.contract import Counters, combined

ROLE: Final = "query"
Figures = tuple[int, Sequence[ProcessFigures]]
# Hours with more events are priced by their minutes.
_PRICED_BY_MINUTES: Final = 100_000


@dataclass(frozen=True, slots=True)
class ReaderMemory:
    """What the reader remembers between requests; of no consequence but for speed."""

    absent_ids: AbsentIds
    source_indexed: SourceIndexed
    sources: SourceMemory
    figures: SingleFlight[str, Figures]
    now_s: Callable[[], float]

    @classmethod
    def empty(cls, now_s: Callable[[], float]) -> ReaderMemory:
        """Nothing yet; with a clock that only grows."""
        return cls(AbsentIds(now_s), SourceIndexed(now_s), SourceMemory(now_s), SingleFlight(now_s), now_s)


def _counters(row: Mapping[str, Any]) -> Counters:
    """What a process counted that its role's row does not hold already."""
    counters: Counters = orjson.loads(row["counters"])
    return counters if row["folded"] is None else combined(counters, orjson.loads(row["folded"]), sign=-1)


class PostgresReader:
    """EventReader, FiguresStore and PositionReader."""

    def __init__(
        self,
        connections: Connections,
        topic: str,
        memory: ReaderMemory,
        scanning: ScanPolicy = DEFAULT_POLICY,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connections = connections
        self._queries = connections.queries
        self._own = connections.own
        self._topic = topic
        self._lookup = EventLookup(connections.queries, topic, memory.absent_ids)
        self._source_indexed = memory.source_indexed
        self._figures = memory.figures
        self._now_s = memory.now_s
        self._scanning = scanning
        self._sources = memory.sources
        self._now = now
        self.learning: Final = SourceLearning(connections.queries, topic, memory.sources, now)

    async def page(self, request: PageRequest) -> EventPage:
        """One page and the total, of one snapshot."""
        wanted = request.filter
        if wanted.reads_events:
            return await self._looked(
                lambda known: PageScan(replace(request, filter=known)), wanted, below_cursor(request)
            )
        if not asks_for_source(wanted.expression):
            async with self._queries.session() as session:
                # One statement is a snapshot by itself: it spares the ways there and back of a transaction.
                page = await self._page(session, request, lambda: True)
            if page.scanned_until is None:
                return page
        ends_s = self._now_s() + self._scanning.budget_s
        async with self._queries.snapshot(statement_s=self._scanning.slice_s) as snapshot:
            named_request = replace(request, filter=await named(snapshot, wanted))
            return await self._page(snapshot, named_request, lambda: self._now_s() >= ends_s or is_abandoned())

    async def _page(self, snapshot: Snapshot, request: PageRequest, is_over: Callable[[], bool]) -> EventPage:
        indexed = await self._source_indexed.windows(snapshot) if request.filter.source is not None else ()
        return await find_page(snapshot, request, PageSearch(self._topic, indexed, self._now(), is_over=is_over))

    async def stats(self, wanted: SearchFilter) -> Counts:
        """Counts by severity and source."""
        if wanted.reads_events:
            return await self._looked(CountScan, wanted)
        async with self._queries.snapshot() as snapshot:
            wanted = await named(snapshot, wanted)
            counts = await find_stats(snapshot, wanted, self._topic, self._sources, self._now())
        self.learning.begin()
        return counts

    async def price(self, wanted: SearchFilter) -> Price:
        """What answering costs, by the counts."""
        everything = SearchFilter(wanted.start, wanted.end)
        cut = pieces(wanted.start, wanted.end, self._now())
        ends_s = self._now_s() + self._scanning.budget_s
        async with self._queries.snapshot() as snapshot:
            wanted = await named(snapshot, wanted)
            windows = ScanWindows(wanted, Window(wanted.start, wanted.end), lambda: _PRICED_BY_MINUTES)
            (in_range,) = await snapshot.fetch(sql.total(everything, cut, self._topic))
            (matching,) = await snapshot.fetch(sql.total(wanted.of_counts(), cut, self._topic))
            if not wanted.reads_events:
                return Price(in_range["total"], matching["total"], 0, stored_until_of(in_range))
            to_read = await windows.events_to_read(snapshot, lambda: self._now_s() >= ends_s)
        return Price(in_range["total"], min(matching["total"], to_read), to_read, stored_until_of(in_range))

    async def histogram(self, request: HistogramRequest) -> Histogram:
        """Counts by interval."""
        if request.filter.reads_events:
            return await self._looked(lambda known: HistogramScan(replace(request, filter=known)), request.filter)
        async with self._queries.snapshot() as snapshot:
            request = replace(request, filter=await named(snapshot, request.filter))
            until = await self._stored_until(snapshot)
            rows = await snapshot.fetch(aggregation_sql.histogram(request, self._now()))
        return Histogram({(row["t"], row["key"]): row["n"] for row in rows}, until)

    async def top(self, request: TopRequest) -> TopValues:
        """The most frequent values of a field."""
        field = request.field
        if isinstance(field, Attribute) or request.filter.reads_events:
            return await self._looked(lambda known: TopScan(replace(request, filter=known)), request.filter)
        if field == "source":
            async with self._queries.session() as session:
                found = await recall_top(session, request, self._topic, self._sources, self._now())
            if found is not None:
                self.learning.begin()
                return found
        async with self._queries.snapshot() as snapshot:
            request = replace(request, filter=await named(snapshot, request.filter))
            return await find_top(snapshot, request, field, self._topic, self._now())

    async def fields(self, request: FieldsRequest) -> Fields:
        """The fields that events have."""
        return await self._looked(lambda known: FieldsScan(replace(request, filter=known)), request.filter)

    async def facets(self, request: FacetsRequest) -> Facets:
        """The most frequent values of several fields."""
        return await self._looked(lambda known: FacetsScan(replace(request, filter=known)), request.filter)

    async def _looked(
        self,
        search_of: Callable[[SearchFilter], Search[Found]],
        wanted: SearchFilter,
        within: Window | None = None,
    ) -> Found:
        """Searches in one snapshot; one that took too long has found what it has found, once a slice was done."""
        around = within or Window(wanted.start, wanted.end), self._scanning, self._now_s
        scan, search = Scan(wanted, *around), search_of(wanted)
        until: StoredUntil = {}
        try:
            async with self._queries.snapshot(statement_s=self._scanning.slice_s) as snapshot:
                until = await self._stored_until(snapshot)
                wanted = await named(snapshot, wanted)
                scan, search = Scan(wanted, *around), search_of(wanted)
                async with aclosing(scan.slices(snapshot)) as slices:
                    async for windows in slices:
                        if await search.look(snapshot, windows):
                            break
        except QueryTimeoutError:
            if not scan.has_begun:
                raise
        return search.found(until, scan.unseen_until)

    async def _stored_until(self, snapshot: Snapshot) -> StoredUntil:
        (row,) = await snapshot.fetch(sql.stored_until(self._topic))
        return stored_until_of(row)

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event with this id."""
        return await self._lookup.event(identifier, ts)

    async def context(self, event: LoggedEvent, before: int, after: int) -> EventContext:
        """What its source logged around it; each side has half of the time that a search may take."""
        around, budget_s = (event.source, event.timestamp, event.id), self._scanning.budget_s
        async with self._queries.snapshot() as snapshot:
            until = await self._stored_until(snapshot)
            indexed = await self._source_indexed.windows(snapshot)
            began_s = self._now_s()
            pace = Pace(lambda: self._now_s() - began_s >= budget_s / 2)
            older = await find_side(snapshot, Side(*around, before, is_before=True), indexed, pace)
            pace = Pace(lambda: self._now_s() - began_s >= budget_s)
            newer = await find_side(snapshot, Side(*around, after, is_before=False), indexed, pace)
        return EventContext(older.events, newer.events, until, older.unseen_from, newer.unseen_from)

    async def recent(self, severities: Sequence[int], latest: datetime, limit: int) -> EventPage:
        """The newest events that happened up to `latest`."""
        async with self._queries.snapshot() as snapshot:
            return await find_newest(snapshot, severities, latest, limit, self._topic)

    async def events(self, keys: Sequence[tuple[datetime, UUID]]) -> Sequence[LoggedEvent]:
        """Those of these events that are stored, newest first, as far as one answer may hold them."""
        async with self._queries.snapshot() as snapshot:
            statement = sql.within_bytes(sql.events(keys), MAX_ANSWER_BYTES)
            return [event_of(row) for row in await snapshot.fetch(statement)]

    async def figures(self) -> Figures:
        """All events ever stored, and every process's row."""
        # One look at a time, shared: those who watch figures leave a connection for health and lag.
        under_way = self._figures.join("figures", self._own.deadline_s)
        return await (under_way or self._figures.begin("figures", self._read_figures()))

    async def _read_figures(self) -> Figures:
        async with self._own.snapshot() as snapshot:
            rows = await snapshot.fetch(sql.FIGURES)
        figures = [
            ProcessFigures(r["process"], r["role"], _counters(r), r["age_s"], r["silent_s"])
            for r in rows
            if r["process"] is not None
        ]
        return rows[0]["total"], figures

    async def report(self, process: str, started_at: datetime, counters: bytes) -> None:
        """Writes the row of this query API process."""
        async with self._own.session() as session:
            await session.execute(sql.report(process, ROLE, started_at, counters.decode()))

    async def positions(self) -> Sequence[StoredPosition]:
        """How far each partition is stored."""
        async with self._own.snapshot() as snapshot:
            rows = await snapshot.fetch(sql.positions(self._topic))
        return [
            StoredPosition(r["partition"], r["next_offset"], r["stored_until"], r["worker"], r["silent_s"])
            for r in rows
        ]

    def pool_sizes(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        (used, idle), (own_used, own_idle) = self._queries.sizes(), self._own.sizes()
        return used + own_used, idle + own_idle

    async def ping(self, timeout_s: float) -> None:
        """Returns when PostgreSQL answers and its tables are there. Raises StoreUnavailableError."""
        async with self._own.snapshot(timeout_s) as snapshot:
            await snapshot.fetch(sql.stored_until(self._topic))

    async def close(self, timeout_s: float) -> None:
        """Closes the connections; by force after the time is over."""
        await self._connections.close(timeout_s)
