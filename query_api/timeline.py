"""Cuts a time range so that nearly all of it is counted from rollups: whole hours, whole minutes, edges of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from ingest_gateway.contract import LATEST

HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)


class Level(Enum):
    """What a piece of time is counted from."""

    HOURS = "hours"
    MINUTES = "minutes"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Piece:
    """Events with `start <= ts < end`, added to the count or taken from it."""

    level: Level
    start: datetime
    end: datetime
    is_added: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that is known to hold matching events: `start <= ts < end`."""

    start: datetime
    end: datetime


def pieces(start: datetime, end: datetime, latest: datetime = LATEST) -> list[Piece]:
    """The pieces whose signed counts add up to `start <= ts < end` exactly.

    Both ends go to their nearest hour, from there to their nearest minute, from there to themselves: so at most half an
    hour of minutes and half a minute of rows is read at each end. Counts outside the range cancel out. After `latest`
    hardly anything has happened yet: up to the end of that hour, or minute, it is as near as `latest` is. So a range
    that ends now needs neither the minutes of this hour nor the rows of this minute, the most there are.
    """
    return [piece for piece in _signed(start, end, latest) if piece.start < piece.end]


def alike_pieces(start: datetime, end: datetime, latest: datetime = LATEST) -> list[Piece]:
    """The same, with empty ones where there is nothing: always hours, two of minutes and two of rows, so that the
    statement is the same for every range.
    """
    cut = pieces(start, end, latest)
    empty = Piece(Level.HOURS, start, start)
    alike: list[Piece] = []
    for level, number in ((Level.HOURS, 1), (Level.MINUTES, 2), (Level.ROWS, 2)):
        of_level = [piece for piece in cut if piece.level is level]
        alike += of_level + [replace(empty, level=level)] * (number - len(of_level))
    return alike


def minute_pieces(start: datetime, end: datetime, latest: datetime = LATEST) -> list[Piece]:
    """The same of minutes and rows alone: each piece lies in the minute that its events are in."""
    return [piece for piece in _signed_minutes(start, end, latest) if piece.start < piece.end]


def _signed_minutes(start: datetime, end: datetime, latest: datetime) -> Iterator[Piece]:
    start_minute, end_minute = _nearest(start, MINUTE, latest), _nearest(end, MINUTE, latest)
    yield Piece(Level.MINUTES, start_minute, end_minute)
    yield from _edges(start, end, start_minute, end_minute)


def _edges(start: datetime, end: datetime, start_minute: datetime, end_minute: datetime) -> Iterator[Piece]:
    """What is left of the minutes at both ends."""
    if start_minute < end_minute:
        yield from _between(Level.ROWS, start_minute, start, is_before=False)
        yield from _between(Level.ROWS, end_minute, end, is_before=True)
    else:
        yield Piece(Level.ROWS, start, end)


def _signed(start: datetime, end: datetime, latest: datetime) -> Iterator[Piece]:
    start_hour, end_hour = _nearest(start, HOUR, latest), _nearest(end, HOUR, latest)
    start_minute, end_minute = _nearest(start, MINUTE, latest), _nearest(end, MINUTE, latest)
    if start_hour < end_hour:
        yield Piece(Level.HOURS, start_hour, end_hour)
        yield from _between(Level.MINUTES, start_hour, start_minute, is_before=False)
        yield from _between(Level.MINUTES, end_hour, end_minute, is_before=True)
    else:
        yield Piece(Level.MINUTES, start_minute, end_minute)
    yield from _edges(start, end, start_minute, end_minute)


def _between(level: Level, rounded: datetime, exact: datetime, *, is_before: bool) -> Iterator[Piece]:
    """What moving one end from `rounded` to `exact` adds or takes. `is_before`: the counted side lies before it."""
    first, last = min(rounded, exact), max(rounded, exact)
    yield Piece(level, first, last, is_added=is_before == (rounded < exact))


def _nearest(moment: datetime, step: timedelta, latest: datetime) -> datetime:
    """The hour or minute next to it with the less in between."""
    floor = floor_to(moment, step)
    until_next = min(floor + step, max(latest, moment)) - moment
    return floor + step if moment - floor > until_next else floor


def floor_to(moment: datetime, step: timedelta) -> datetime:
    """The start of the hour or minute that holds the moment."""
    if step == HOUR:
        return moment.replace(minute=0, second=0, microsecond=0)
    return moment.replace(second=0, microsecond=0)


def joined(starts: Iterable[datetime], step: timedelta, within: Window) -> list[Window]:
    """The hours or minutes beginning at `starts` (newest first) as few windows, cut to `within`, newest first."""
    windows: list[Window] = []
    for start in starts:
        if windows and windows[-1].start == start + step:
            windows[-1] = Window(start, windows[-1].end)
        else:
            windows.append(Window(start, start + step))
    cut = [Window(max(window.start, within.start), min(window.end, within.end)) for window in windows]
    return [window for window in cut if window.start < window.end]


def days_of(hours: Iterable[datetime]) -> list[Window]:
    """One window for each day that has any of these hours (newest first), from its first to the end of its last."""
    windows: list[Window] = []
    for hour in hours:
        if windows and windows[-1].start.date() == hour.date():
            windows[-1] = Window(hour, windows[-1].end)
        else:
            windows.append(Window(hour, hour + HOUR))
    return windows
