"""Which part of an export's range is meant: from behind one place to another, in the export's order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from query_api.search import SearchFilter
from query_api.timeline import Window

_MICROSECOND: Final = timedelta(microseconds=1)
_NOTHING: Final = timedelta()
_LEAST_ID: Final = UUID(int=0)
_GREATEST_ID: Final = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Place:
    """An event's time and id; or a moment, before or behind all events of it."""

    ts: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Span:
    """Events behind `after` up to `until`, which is included, in the order of the export."""

    after: Place
    until: Place
    newest_first: bool

    @property
    def window(self) -> Window:
        """The time that it lies in."""
        if self.newest_first:
            return Window(self.until.ts, self.after.ts + (_MICROSECOND if self.after.id != _LEAST_ID else _NOTHING))
        start = self.after.ts + (_MICROSECOND if self.after.id == _GREATEST_ID else _NOTHING)
        return Window(start, self.until.ts + _MICROSECOND)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of it."""
        return self.after == self.until

    def behind(self, place: Place) -> Span:
        """What is left of it behind a place."""
        return Span(place, self.until, self.newest_first)

    def up_to(self, place: Place) -> Span:
        """What is before a place, and the event at it."""
        return Span(self.after, place, self.newest_first)

    def end_of(self, window: Window) -> Place:
        """Where a window ends, in the order of the export, but not beyond `until`."""
        if self.newest_first:
            place = Place(window.start, _LEAST_ID)
            return max(place, self.until, key=_key)
        place = Place(window.end - _MICROSECOND, _GREATEST_ID)
        return min(place, self.until, key=_key)


def whole(wanted: SearchFilter, *, newest_first: bool) -> Span:
    """All of a range."""
    before = Place(wanted.start - _MICROSECOND, _GREATEST_ID)
    if newest_first:
        return Span(Place(wanted.end, _LEAST_ID), Place(wanted.start, _LEAST_ID), newest_first)
    return Span(before, Place(wanted.end - _MICROSECOND, _GREATEST_ID), newest_first)


def _key(place: Place) -> tuple[datetime, UUID]:
    return place.ts, place.id
