"""The fields of events and the values of several fields, of as many events as there is time to look at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from query_api import aggregation_sql, fields_sql
from query_api.aggregation import SeriesKey, TopField, TopRequest
from query_api.attribute_names import AttributeNames
from query_api.attribute_rows import Seen, events_seen
from query_api.bounded_counts import MOST_CHARS, BoundedCounts
from query_api.fields import USUAL_ATTRIBUTES, Facet, Facets, FacetsRequest, Fields, FieldsRequest, Looked
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.matching import scalars, value_at
from query_api.positions import StoredUntil
from query_api.snapshot import StreamingSnapshot
from query_api.timeline import Window, pieces

_COUNTED: Final[tuple[SeriesKey, ...]] = ("severity", "source")


class _Looking:
    """What a scan looked at so far."""

    def __init__(self) -> None:
        self._events = 0
        self._unread = 0
        # While a slice is looked at, and for good where that was broken off.
        self._is_inside = False

    def begin(self) -> None:
        """A slice begins."""
        self._is_inside = True

    def end(self) -> None:
        """It was looked at whole."""
        self._is_inside = False

    def saw(self, event: Seen) -> None:
        """One event was met."""
        self._events += 1
        self._unread += event.is_unread

    def looked(self, unseen_until: datetime | None) -> Looked:
        """The whole of it."""
        return Looked(self._events, self._unread, not self._is_inside, unseen_until)


class FieldsScan:
    """Counts the names of attributes, slice by slice. A slice that was broken off is in the counts in part."""

    def __init__(self, request: FieldsRequest) -> None:
        self._wanted = request.filter
        self._names = AttributeNames()
        self._looking = _Looking()
        self._total: int | None = None

    async def look(self, snapshot: StreamingSnapshot, windows: list[Window]) -> bool:
        """Adds the events of a slice; there is never enough."""
        if self._total is None and not self._wanted.reads_events:
            (row,) = await snapshot.fetch(fields_sql.total(self._wanted))
            self._total = row["total"]
        self._looking.begin()
        async with aclosing(events_seen(snapshot, self._wanted, windows)) as events:
            async for event in events:
                self._looking.saw(event)
                self._names.add(event.attributes)
        self._looking.end()
        return False

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> Fields:
        """What was counted, and down to where."""
        looked = self._looking.looked(unseen_until)
        total = self._total
        if total is None and unseen_until is None:
            total = looked.events
        names = self._names
        return Fields(names.listed(), total, looked, stored_until_us, names.undercount_at_most, names.too_long)


class FacetsScan:
    """Counts the values of fields, slice by slice: of severity and source from counts where the filter allows.

    Where no fields are named, the attributes are those that most events of the first slice have.
    """

    def __init__(self, request: FacetsRequest) -> None:
        self._request = request
        self._wanted = request.filter
        self._fields: Sequence[TopField] = request.fields
        self._looking = _Looking()
        self._of_counts: dict[TopField, Facet] = {}
        self._counted: dict[TopField, BoundedCounts] = {}
        self._events: dict[TopField, int] = {}

    async def look(self, snapshot: StreamingSnapshot, windows: list[Window]) -> bool:
        """Adds the events of a slice; whether none needs to be looked at."""
        if not self._counted and not self._of_counts:
            await self._begin(snapshot, windows)
        if not self._counted:
            return True
        self._looking.begin()
        async with aclosing(events_seen(snapshot, self._wanted, windows)) as events:
            async for event in events:
                self._looking.saw(event)
                self._add(event)
        self._looking.end()
        return False

    async def _begin(self, snapshot: StreamingSnapshot, windows: list[Window]) -> None:
        if not self._fields:
            self._fields = (*_COUNTED, *await self._usual(snapshot, windows))
        for field in self._fields:
            if isinstance(field, Attribute) or self._wanted.reads_events:
                self._counted[field] = BoundedCounts(MOST_CHARS // len(self._fields))
                self._events[field] = 0
            else:
                self._of_counts[field] = await self._from_counts(snapshot, field)

    async def _usual(self, snapshot: StreamingSnapshot, windows: list[Window]) -> list[Attribute]:
        names = AttributeNames()
        async with aclosing(events_seen(snapshot, self._wanted, windows)) as events:
            async for event in events:
                names.add(event.attributes)
        return [name.attribute for name in names.listed()[:USUAL_ATTRIBUTES]]

    async def _from_counts(self, snapshot: StreamingSnapshot, field: SeriesKey) -> Facet:
        request = TopRequest(self._wanted, field, self._request.values)
        cut = pieces(self._wanted.start, self._wanted.end)
        rows = await snapshot.fetch(aggregation_sql.top(request, field, cut))
        distinct, total = (rows[0]["distinct_values"], rows[0]["total"]) if rows else (0, 0)
        return Facet(field, total, distinct, [(row["value"], row["n"]) for row in rows])

    def _add(self, event: Seen) -> None:
        for field, counts in self._counted.items():
            if isinstance(field, Attribute):
                value = value_at(field.path, event.attributes)
                if value is None:
                    continue
                self._events[field] += 1
                if isinstance(value, str):
                    counts.add(value)
                elif type(value) is int:
                    counts.add(str(value))
                else:
                    for text in set(scalars(value)):
                        counts.add(text)
            else:
                self._events[field] += 1
                counts.add(str(event.severity) if field == "severity" else event.source)

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> Facets:
        """What was counted, and down to where."""
        looked = self._looking.looked(unseen_until if self._counted else None)
        facets = [self._of_counts.get(field) or self._facet(field, looked) for field in self._fields or _COUNTED]
        return Facets(facets, looked, stored_until_us)

    def _facet(self, field: TopField, looked: Looked) -> Facet:
        counts = self._counted.get(field, BoundedCounts())
        is_code = field == "severity"
        return Facet(
            field,
            self._events.get(field, 0),
            counts.distinct_at_least,
            [(int(value) if is_code else value, n) for value, n in counts.largest(self._request.values)],
            counts.is_exact and looked.is_whole and not (looked.unread and isinstance(field, Attribute)),
            counts.forgotten,
            counts.undercount_at_most,
            looked.scanned_until,
        )
