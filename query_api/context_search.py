"""Finds what the same source logged around an event: by counts first, then the nearest events while there is time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from query_api import context_sql
from query_api.context_sql import Side
from query_api.page_search import event_of
from query_api.reading import LoggedEvent
from query_api.snapshot import Snapshot
from query_api.timeline import HOUR, MINUTE, Window

# About a sixtieth of a second.
_SLICE_ROWS: Final = 40_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How many rows are looked at between two looks at the clock, and whether the time is over."""

    is_over: Callable[[], bool]
    slice_rows: int = _SLICE_ROWS


@dataclass(frozen=True, slots=True)
class FoundSide:
    """Events, oldest first. Beyond `unseen_from` nothing was looked at; None where nothing is missing."""

    events: Sequence[LoggedEvent]
    unseen_from: datetime | None = None


async def find_side(snapshot: Snapshot, side: Side, source_indexed: Sequence[Window], pace: Pace) -> FoundSide:
    """The nearest events of one side.

    1. The stretches of time that have some, and how many rows are met in each.
    2. Slice by slice, the nearest first, until there are enough. The first is always looked at.
    """
    if not side.limit:
        return FoundSide([])
    stretches = await _stretches(snapshot, side, source_indexed)  # 1
    found: list[LoggedEvent] = []
    has_begun = False
    for windows in _slices(stretches, side, pace.slice_rows):  # 2
        if has_begun and pace.is_over():
            return FoundSide(_oldest_first(found, side), windows[0].end if side.is_before else windows[0].start)
        has_begun = True
        statement = context_sql.events(side, windows, side.limit - len(found))
        found += [event_of(row) for row in await snapshot.fetch(statement)]
        if len(found) == side.limit:
            break
    return FoundSide(_oldest_first(found, side))


def _oldest_first(found: list[LoggedEvent], side: Side) -> list[LoggedEvent]:
    return found[::-1] if side.is_before else found


async def _stretches(snapshot: Snapshot, side: Side, source_indexed: Sequence[Window]) -> list[tuple[Window, int]]:
    """With the rows that are met there, the nearest first: hours where an index leads to the source, else minutes."""
    hours = await snapshot.fetch(context_sql.hours(side))
    found: list[tuple[Window, int]] = []
    others: list[Window] = []
    for hour in hours:
        window = side.cut(hour["bucket"], HOUR)
        if any(one.start <= window.start and window.end <= one.end for one in source_indexed):
            found.append((window, hour["n"]))
        else:
            others.append(window)
    if others:
        minutes = await snapshot.fetch(context_sql.minutes(side, others))
        found += [(side.cut(minute["bucket"], MINUTE), minute["n"]) for minute in minutes]
    return sorted(found, key=lambda stretch: stretch[0].start, reverse=side.is_before)


def _slices(stretches: Sequence[tuple[Window, int]], side: Side, slice_rows: int) -> Iterator[list[Window]]:
    """Of so many rows, or one more window. Within a minute rows are taken as evenly spread."""
    windows: list[Window] = []
    rows = 0
    for stretch, stretch_rows in stretches:
        parts = max(-(-stretch_rows // slice_rows), 1)
        for part in _parts(stretch, parts, side):
            if windows and rows + stretch_rows // parts > slice_rows:
                yield windows
                windows, rows = [], 0
            windows.append(part)
            rows += stretch_rows // parts
    if windows:
        yield windows


def _parts(window: Window, count: int, side: Side) -> list[Window]:
    """The window in so many pieces, the nearest first."""
    edges = [window.start + (window.end - window.start) * n / count for n in range(count)] + [window.end]
    parts = [Window(start, end) for start, end in pairwise(edges) if start < end]
    return parts[::-1] if side.is_before else parts
