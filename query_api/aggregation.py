"""What is counted by what: over time, and by the values of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Literal

from ingest_gateway.contract import LATEST
from query_api.filter_language.expressions import Attribute
from query_api.positions import StoredUntil
from query_api.search import SearchFilter
from query_api.timeline import HOUR, Piece, minute_pieces, pieces

SeriesKey = Literal["severity", "source"]
TopField = SeriesKey | Attribute
MOST_INTERVALS: Final = 2_000
# Series of a histogram by source; what other sources have is one more.
MOST_SERIES: Final = 10
DEFAULT_VALUES: Final = 10
MOST_VALUES: Final = 1_000
# Where nothing else is said: the shortest of these with at most so many intervals, or a multiple of the longest.
_CHOICES: Final = tuple(timedelta(minutes=n) for n in (1, 5, 15, 60, 360, 1440, 10_080, 43_200))
_USUAL: Final = 100


@dataclass(frozen=True, slots=True)
class HistogramRequest:
    """Counts of intervals of so many whole minutes, together and by `by`."""

    filter: SearchFilter
    interval: timedelta
    by: SeriesKey

    def cut(self, latest: datetime = LATEST) -> list[Piece]:
        """The pieces that its counts are made of: an hour may be counted as one only where intervals are of hours."""
        wanted = self.filter
        whole_hours = self.interval % HOUR == timedelta()
        return (pieces if whole_hours else minute_pieces)(wanted.start, wanted.end, latest)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by the start of the interval and the code of the severity or the name of the source.

    None as a name stands for all sources but the largest. Where counting took as long as it may, they are of the events
    from `scanned_until` on.
    """

    cells: Mapping[tuple[datetime, int | str | None], int]
    stored_until_us: StoredUntil
    scanned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TopRequest:
    """The values of a field that most events have."""

    filter: SearchFilter
    field: TopField
    limit: int = DEFAULT_VALUES


@dataclass(frozen=True, slots=True)
class TopValues:
    """The values (a severity by its code) and their counts, largest first; `distinct` says how many values there are.

    `total` is how often any value was met. `is_exact` is false where there were too many values, or too long ones, to
    keep them all: then `forgotten` of the total are in no count, a count may be too low by up to `undercount_at_most`,
    and `distinct` is a lower bound.
    """

    values: Sequence[tuple[int | str, int]]
    distinct: int
    total: int
    stored_until_us: StoredUntil
    is_exact: bool = True
    scanned_until: datetime | None = None
    forgotten: int = 0
    undercount_at_most: int = 0


def usual_interval(start: datetime, end: datetime) -> timedelta:
    """One that makes a picture of the range: at most 100 of them, however long it is."""
    for interval in _CHOICES:
        if (end - start) / interval <= _USUAL:
            return interval
    return _CHOICES[-1] * ceil((end - start) / (_CHOICES[-1] * _USUAL))
