"""The bodies of histograms and of the values of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from ingest_gateway.contract import SEVERITIES
from query_api.aggregation import Histogram, HistogramRequest, TopField, TopRequest, TopValues
from query_api.completeness import Completeness
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.written import written_place

_encode: Final = msgspec.json.Encoder().encode


class Interval(msgspec.Struct, frozen=True):
    """One interval with events; `other` are those of sources that are not listed."""

    start: datetime
    count: int
    counts: Mapping[str, int]
    other: int


class HistogramAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/histogram, less the lag."""

    start_time: datetime
    end_time: datetime
    interval_s: int
    by: str
    total: int
    intervals: Sequence[Interval]
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None


class Value(msgspec.Struct, frozen=True):
    """One value, and how many events have it."""

    value: str
    count: int


class TopAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/top, less the lag."""

    field: str
    values: Sequence[Value]
    distinct: int
    total: int
    is_exact: bool
    forgotten: int
    undercount_at_most: int
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None


def histogram_body(request: HistogramRequest, histogram: Histogram, complete: Completeness) -> bytes:
    """The JSON of the intervals, oldest first; those without events are left out."""
    starts: dict[datetime, dict[str, int]] = {}
    others: dict[datetime, int] = {}
    for (start, key), n in histogram.cells.items():
        counts = starts.setdefault(start, {})
        if key is None:
            others[start] = n
        else:
            counts[value_name(key)] = n
    intervals = [
        Interval(start, sum(counts.values()) + others.get(start, 0), counts, others.get(start, 0))
        for start, counts in sorted(starts.items())
    ]
    return _encode(
        HistogramAnswer(
            request.filter.start,
            request.filter.end,
            round(request.interval.total_seconds()),
            request.by,
            sum(interval.count for interval in intervals),
            intervals,
            histogram.scanned_until,
            complete.complete_until,
            complete.reason,
        )
    )


def top_body(request: TopRequest, found: TopValues, complete: Completeness) -> bytes:
    """The JSON of the values, most frequent first."""
    return _encode(
        TopAnswer(
            field_name(request.field),
            [Value(value_name(value), n) for value, n in found.values],
            found.distinct,
            found.total,
            found.is_exact,
            found.forgotten,
            found.undercount_at_most,
            found.scanned_until,
            complete.complete_until,
            complete.reason,
        )
    )


def field_name(field: TopField) -> str:
    """As it is written in a filter."""
    return written_place(field) if isinstance(field, Attribute) else field


def value_name(key: int | str) -> str:
    """A value as text; a number is the code of a severity."""
    return SEVERITIES[key] if isinstance(key, int) else key
