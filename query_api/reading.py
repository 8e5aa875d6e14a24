"""What is read from the store: values, the ways it can fail, and the reader's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from query_api.aggregation import Histogram, HistogramRequest, TopRequest, TopValues
from query_api.fields import Facets, FacetsRequest, Fields, FieldsRequest
from query_api.positions import StoredUntil
from query_api.search import PageRequest, SearchFilter


class StoreUnavailableError(Exception):
    """PostgreSQL cannot answer now; the same request may succeed later. The text says what is wrong."""


class StoreBusyError(StoreUnavailableError):
    """PostgreSQL may be well, but others keep it busy."""


class QueryTimeoutError(Exception):
    """PostgreSQL answered, but this query takes longer than it may."""


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """One stored event in the shape of an answer; `attributes` are the sender's bytes."""

    id: UUID
    timestamp: datetime
    severity: str
    source: str
    message: str
    ingested_at: datetime
    attributes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def size_bytes(self) -> int:
        """What counts of it towards the size of an answer."""
        attributes = 0 if isinstance(self.attributes, msgspec.UnsetType) else len(bytes(self.attributes))
        return len(self.message.encode()) + attributes


# A process that lives writes its row of figures each second.
ALIVE_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events newest first, and how far each partition was stored in the snapshot they were read in.

    `total` is exact: of that snapshot, or carried by the cursor from the first page's; None where it would have cost a
    look at every event. Events are fewer than were asked for, with more to follow, where they would be larger than an
    answer may be, or where the search took as long as it may: then it was done down to `scanned_until`.
    """

    total: int | None
    events: Sequence[LoggedEvent]
    has_more: bool
    stored_until_us: StoredUntil
    scanned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact counts of a range, or of its end down to `scanned_until` where counting took as long as it may.

    `by_source` holds the largest sources, largest first; `sources` says how many there are.
    """

    total: int
    by_severity: Mapping[str, int]
    by_source: Mapping[str, int]
    sources: int
    stored_until_us: StoredUntil
    scanned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventContext:
    """Events of one source around one of them: on each side the nearest ones, oldest first.

    Where looking took as long as it may, it was done back to `scanned_since`, and ahead to `scanned_until`.
    """

    before: Sequence[LoggedEvent]
    after: Sequence[LoggedEvent]
    stored_until_us: StoredUntil
    scanned_since: datetime | None = None
    scanned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What an answer costs: events in the range, those that can match at most, and those to be looked at one by one.

    Hours or minutes are looked at whole, so the last may be a little more than the range has.
    """

    in_range: int
    matching_at_most: int
    to_read: int
    stored_until_us: StoredUntil


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """How far one partition is stored, and by whom. `silent_s`: since that worker was last heard of."""

    partition: int
    next_offset: int
    stored_until: datetime
    worker: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process's counters since its start, alive or not."""

    process: str
    role: str
    counters: Mapping[str, object]
    age_s: float
    silent_s: float


class EventReader(Protocol):
    """Reads events. Every method raises StoreUnavailableError or QueryTimeoutError, within a bounded time."""

    async def page(self, request: PageRequest) -> EventPage:
        """One page and the total, of one snapshot."""
        ...

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event with this id, at exactly `ts` where that is known."""
        ...

    async def context(self, event: LoggedEvent, before: int, after: int) -> EventContext:
        """What its source logged around it."""
        ...

    async def recent(self, severities: Sequence[int], latest: datetime, limit: int) -> EventPage:
        """The newest events that happened up to `latest`; the total is what was found."""
        ...

    async def events(self, keys: Sequence[tuple[datetime, UUID]]) -> Sequence[LoggedEvent]:
        """Those of these events that are stored, newest first, as far as one answer may hold them."""
        ...

    async def stats(self, wanted: SearchFilter) -> Counts:
        """Counts by severity and source."""
        ...

    async def histogram(self, request: HistogramRequest) -> Histogram:
        """Counts by interval, and by severity or source."""
        ...

    async def top(self, request: TopRequest) -> TopValues:
        """The values of a field that most events have."""
        ...

    async def fields(self, request: FieldsRequest) -> Fields:
        """The fields that events have."""
        ...

    async def facets(self, request: FacetsRequest) -> Facets:
        """The most frequent values of several fields."""
        ...

    async def price(self, wanted: SearchFilter) -> Price:
        """What answering costs, without answering."""
        ...


class FiguresStore(Protocol):
    """Figures over all processes. Raises StoreUnavailableError or QueryTimeoutError."""

    async def figures(self) -> tuple[int, Sequence[ProcessFigures]]:
        """All events ever stored, and every process's row."""
        ...

    async def report(self, process: str, started_at: datetime, counters: bytes) -> None:
        """Writes the row of this query API process."""
        ...


class PositionReader(Protocol):
    """How far Kafka is stored. Raises StoreUnavailableError or QueryTimeoutError."""

    async def positions(self) -> Sequence[StoredPosition]: ...
