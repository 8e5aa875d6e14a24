"""The bodies of answers: encoded once, and given their age and the lag without being encoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from ingest_gateway.contract import moment_of, unix_us
from query_api.completeness import Completeness, Lag
from query_api.figures import MetricsAnswer
from query_api.filter_language.written import written
from query_api.lag_monitor import LagReport
from query_api.page_cache import Answer
from query_api.pagination import encode_cursor
from query_api.reading import Counts, EventContext, EventPage, LoggedEvent, Price
from query_api.recent_lists import RecentEvents
from query_api.scan import EVENTS_PER_S
from query_api.search import Cursor, PageRequest, SearchFilter

_encode: Final = msgspec.json.Encoder().encode
# No event is before it at its own time: a cursor with it stands before all events of that time.
_LEAST_ID: Final = UUID(int=0)


class PageAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/query, less the lag.

    `total` is exact as of `total_complete_until`: the first page's, when by cursor. Null where it is not known.
    """

    total: int | None
    count: int
    logs: Sequence[LoggedEvent]
    next_cursor: str | None
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None
    total_complete_until: datetime | None


class RecentAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/recent."""

    count: int
    logs: Sequence[msgspec.Raw | LoggedEvent]
    served_from: str
    complete_until: datetime | None
    incomplete_reason: str | None
    lag: Lag


class Remainder(msgspec.Struct, frozen=True):
    """The sources that are not listed: how many, and their events."""

    sources: int
    count: int


class StatsAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/stats, less the lag."""

    start_time: datetime
    end_time: datetime
    total: int
    by_severity: Mapping[str, int]
    by_source: Mapping[str, int]
    other: Remainder
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None


class ContextAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/{id}/context: oldest first."""

    before: Sequence[LoggedEvent]
    event: LoggedEvent
    after: Sequence[LoggedEvent]
    scanned_since: datetime | None
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None
    lag: Lag


class PriceAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/explain. `query` is the filter as it was understood."""

    query: str
    answered_from: str
    events_in_range: int
    events_matching_at_most: int
    events_to_read: int
    expected_ms: int
    budget_ms: int
    may_be_partial: bool
    complete_until: datetime | None
    incomplete_reason: str | None
    lag: Lag


def page_body(request: PageRequest, page: EventPage, complete: Completeness) -> bytes:
    """The JSON of a page."""
    complete_us = None if complete.complete_until is None else unix_us(complete.complete_until)
    total_us = complete_us if request.cursor is None else request.cursor.total_complete_until_us
    total_us = None if page.total is None else total_us
    return _encode(
        PageAnswer(
            page.total,
            len(page.events),
            page.events,
            _next_cursor(request, page, total_us),
            page.scanned_until,
            complete.complete_until,
            complete.reason,
            None if total_us is None else moment_of(total_us),
        )
    )


def _next_cursor(request: PageRequest, page: EventPage, total_us: int | None) -> str | None:
    """Behind the last event; where the search ended before the page was full, behind what was searched."""
    if not page.has_more:
        return None
    if page.scanned_until is not None:
        behind = Cursor(page.scanned_until, _LEAST_ID, page.total, total_us)
    else:
        behind = Cursor(page.events[-1].timestamp, page.events[-1].id, page.total, total_us)
    return encode_cursor(behind, request.filter)


def recent_body(recent: RecentEvents, complete: Completeness, lag: Lag) -> bytes:
    """The JSON of the newest events."""
    return _encode(
        RecentAnswer(len(recent.logs), recent.logs, recent.served_from, complete.complete_until, complete.reason, lag)
    )


def stats_body(wanted: SearchFilter, counts: Counts, complete: Completeness) -> bytes:
    """The JSON of the counts of a range."""
    listed = sum(counts.by_source.values())
    return _encode(
        StatsAnswer(
            wanted.start,
            wanted.end,
            counts.total,
            counts.by_severity,
            counts.by_source,
            Remainder(counts.sources - len(counts.by_source), counts.total - listed),
            counts.scanned_until,
            complete.complete_until,
            complete.reason,
        )
    )


def price_body(wanted: SearchFilter, price: Price, budget_s: float, complete: Completeness, lag: Lag) -> bytes:
    """The JSON of what an answer costs."""
    expected_s = price.to_read / EVENTS_PER_S
    return _encode(
        PriceAnswer(
            written(wanted.expression),
            "events" if wanted.reads_events else "counts",
            price.in_range,
            price.matching_at_most,
            price.to_read,
            round(expected_s * 1000),
            round(budget_s * 1000),
            wanted.reads_events and expected_s > budget_s,
            complete.complete_until,
            complete.reason,
            lag,
        )
    )


def context_body(event: LoggedEvent, context: EventContext, complete: Completeness, lag: Lag) -> bytes:
    """The JSON of an event and those around it."""
    scanned = context.scanned_since, context.scanned_until
    return _encode(
        ContextAnswer(context.before, event, context.after, *scanned, complete.complete_until, complete.reason, lag)
    )


def event_body(event: LoggedEvent, complete: Completeness, lag: Lag) -> bytes:
    """The JSON of one event, followed by how complete the answer is."""
    about = {"complete_until": complete.complete_until, "incomplete_reason": complete.reason, "lag": lag}
    return _encode(event)[:-1] + b"," + _encode(about)[1:]


def json_body(value: object) -> bytes:
    """The JSON of any of our values."""
    return _encode(value)


def marked(answer: Answer, lag: Lag) -> bytes:
    """The body with `cached` and `age_ms` put before everything else, and behind it the lag as it is known now."""
    head = b'{"cached":false,"age_ms":0,'
    if answer.age_s is not None:
        head = b'{"cached":true,"age_ms":%d,' % round(answer.age_s * 1000)
    return b"".join((head, memoryview(answer.body)[1:-1], b',"lag":', _encode(lag), b"}"))


def metrics_body(figures: MetricsAnswer, report: LagReport, lag: Lag) -> bytes:
    """The JSON of the figures, followed by how complete what is stored was when last looked at."""
    reason = report.detail if report.complete_until is None else None
    about = {"complete_until": report.complete_until, "incomplete_reason": reason, "lag": lag}
    return _encode(figures)[:-1] + b"," + _encode(about)[1:]
