"""The bodies of answers: encoded once, and given their age and the lag without being encoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from ingest_gateway.contract import moment_of, unix_us
from query_api.completeness import Completeness, Lag
from query_api.figures import MetricsAnswer
from query_api.lag_monitor import LagReport
from query_api.page_cache import Answer
from query_api.pagination import encode_cursor
from query_api.reading import Counts, EventPage, LoggedEvent
from query_api.recent_lists import RecentEvents
from query_api.search import Cursor, PageRequest, SearchFilter

_encode: Final = msgspec.json.Encoder().encode


class PageAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/query, less the lag.

    `total` is exact as of `total_complete_until`: the first page's, when by cursor.
    """

    total: int
    count: int
    logs: Sequence[LoggedEvent]
    next_cursor: str | None
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
    complete_until: datetime | None
    incomplete_reason: str | None


def page_body(request: PageRequest, page: EventPage, complete: Completeness) -> bytes:
    """The JSON of a page."""
    complete_us = None if complete.complete_until is None else unix_us(complete.complete_until)
    total_us = complete_us if request.cursor is None else request.cursor.total_complete_until_us
    next_cursor = None
    if page.has_more:
        last = page.events[-1]
        next_cursor = encode_cursor(Cursor(last.timestamp, last.id, page.total, total_us), request.filter)
    return _encode(
        PageAnswer(
            page.total,
            len(page.events),
            page.events,
            next_cursor,
            complete.complete_until,
            complete.reason,
            None if total_us is None else moment_of(total_us),
        )
    )


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
            complete.complete_until,
            complete.reason,
        )
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
