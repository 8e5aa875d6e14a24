"""An event reader over a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from uuid import UUID

import msgspec

from ingest_gateway.contract import EPOCH, SEVERITIES, SEVERITY_CODES
from query_api.aggregation import MOST_SERIES, Histogram, HistogramRequest, TopField, TopRequest, TopValues
from query_api.fields import USUAL_ATTRIBUTES, Facets, FacetsRequest, Fields, FieldsRequest, Looked
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.matching import Candidate, attributes_of, matches, texts_at
from query_api.positions import StoredUntil
from query_api.reading import Counts, EventContext, EventPage, LoggedEvent, Price
from query_api.search import MAX_ANSWER_BYTES, PageRequest, SearchFilter
from tests.fakes.plain_fields import facet_of, names_of


class MemoryReader:
    """An EventReader whose events and positions are set by the test; `trouble` is raised when it is set."""

    def __init__(self, events: Sequence[LoggedEvent] = (), stored_until_us: StoredUntil | None = None) -> None:
        self.stored = list(events)
        self.stored_until_us: StoredUntil = stored_until_us or {}
        self.trouble: Exception | None = None
        self.asked = 0

    def _newest_first(self) -> list[LoggedEvent]:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return sorted(self.stored, key=lambda event: (event.timestamp, event.id.int), reverse=True)

    def _matching(self, wanted: SearchFilter) -> list[LoggedEvent]:
        return [
            event
            for event in self._newest_first()
            if wanted.start <= event.timestamp < wanted.end
            and (not wanted.severities or SEVERITY_CODES[event.severity] in wanted.severities)
            and wanted.source in (None, event.source)
            and matches(wanted.expression, _candidate(event))
        ]

    async def page(self, request: PageRequest) -> EventPage:
        """One page."""
        found = self._matching(request.filter)
        total: int | None = len(found)
        if (cursor := request.cursor) is not None:
            total = cursor.total
            found = [event for event in found if (event.timestamp, event.id.int) < (cursor.ts, cursor.id.int)]
        rest = found[request.offset :]
        page = _within_bytes(rest[: request.limit])
        has_more = len(rest) > len(page)
        if request.filter.reads_events and has_more and cursor is None:
            total = None  # Who reads until a page is full does not know what else there is.
        return EventPage(total, page, has_more, self.stored_until_us)

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event with this id."""
        found = [event for event in self._newest_first() if event.id == identifier and ts in (None, event.timestamp)]
        return (found[0] if found else None), self.stored_until_us

    async def recent(self, severities: Sequence[int], latest: datetime, limit: int) -> EventPage:
        """The newest events up to `latest`."""
        found = [
            event
            for event in self._newest_first()
            if event.timestamp <= latest and (not severities or SEVERITY_CODES[event.severity] in severities)
        ][:limit]
        found = _within_bytes(found)
        return EventPage(len(found), found, has_more=False, stored_until_us=self.stored_until_us)

    async def events(self, keys: Sequence[tuple[datetime, UUID]]) -> Sequence[LoggedEvent]:
        """Those of these events that are stored."""
        return _within_bytes([event for event in self._newest_first() if (event.timestamp, event.id) in set(keys)])

    async def stats(self, wanted: SearchFilter) -> Counts:
        """Counts by severity and source."""
        found = self._matching(wanted)
        severities = Counter(event.severity for event in found)
        sources = Counter(event.source for event in found)
        largest = sorted(sources.items(), key=lambda item: (-item[1], item[0]))[:100]
        return Counts(
            len(found),
            {name: severities[name] for name in reversed(SEVERITIES)},
            dict(largest),
            len(sources),
            self.stored_until_us,
        )

    async def context(self, event: LoggedEvent, before: int, after: int) -> EventContext:
        """What its source logged around it."""
        of_source = [other for other in reversed(self._newest_first()) if other.source == event.source]
        place = next(n for n, other in enumerate(of_source) if other.id == event.id)
        older = of_source[max(place - before, 0) : place]
        return EventContext(older, of_source[place + 1 : place + 1 + after], self.stored_until_us)

    async def histogram(self, request: HistogramRequest) -> Histogram:
        """Counts by interval."""
        found = self._matching(request.filter)
        keys = [SEVERITY_CODES[event.severity] if request.by == "severity" else event.source for event in found]
        totals = Counter(keys)
        largest = sorted(totals, key=lambda key: (-totals[key], str(key)))[:MOST_SERIES]
        cells = Counter(
            (
                event.timestamp - (event.timestamp - EPOCH) % request.interval,
                key if key in largest else None,
            )
            for event, key in zip(found, keys, strict=True)
        )
        return Histogram(cells, self.stored_until_us)

    async def top(self, request: TopRequest) -> TopValues:
        """The most frequent values."""
        values: Counter[int | str] = Counter()
        for event in self._matching(request.filter):
            if isinstance(request.field, Attribute):
                values.update(texts_at(request.field.path, _candidate(event)))
            else:
                values[SEVERITY_CODES[event.severity] if request.field == "severity" else event.source] += 1
        ranked = sorted(values.items(), key=lambda item: (-item[1], str(item[0])))
        return TopValues(ranked[: request.limit], len(ranked), values.total(), self.stored_until_us)

    async def fields(self, request: FieldsRequest) -> Fields:
        """The fields."""
        found = self._matching(request.filter)
        names = names_of([_candidate(event).attributes for event in found])
        return Fields(names, len(found), Looked(len(found), 0, True, None), self.stored_until_us)

    async def facets(self, request: FacetsRequest) -> Facets:
        """The values of several fields."""
        found = [_candidate(event) for event in self._matching(request.filter)]
        names = names_of([event.attributes for event in found])
        usual: tuple[TopField, ...] = ("severity", "source", *(name.attribute for name in names[:USUAL_ATTRIBUTES]))
        facets = [facet_of(found, field, request.values) for field in request.fields or usual]
        return Facets(facets, Looked(len(found), 0, True, None), self.stored_until_us)

    async def price(self, wanted: SearchFilter) -> Price:
        """What answering costs."""
        everything = self._matching(SearchFilter(wanted.start, wanted.end))
        at_most = len(self._matching(wanted.of_counts()))
        return Price(len(everything), at_most, at_most if wanted.reads_events else 0, self.stored_until_us)


def _candidate(event: LoggedEvent) -> Candidate:
    attributes = None if isinstance(event.attributes, msgspec.UnsetType) else bytes(event.attributes).decode()
    return Candidate(SEVERITY_CODES[event.severity], event.source, event.message, attributes_of(attributes))


def _within_bytes(events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    sizes = accumulate((event.size_bytes() for event in events), initial=0)
    return [event for event, before in zip(events, sizes, strict=False) if before < MAX_ANSWER_BYTES]
