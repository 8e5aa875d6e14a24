"""Goes through a span in slices, each with as many events to look at as one short statement may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from query_api.exports import slice_sql
from query_api.exports.request import ExportRequest
from query_api.exports.span import Place, Span
from query_api.scan_windows import ScanWindows, Stretch
from query_api.search import SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.source_names import named
from query_api.timeline import HOUR, Window

_FIRST_ROWS: Final = 2_000
_MOST_ROWS: Final = 50_000
_LEAST_EXAMINED: Final = 500
_MOST_EXAMINED: Final = 200_000
# Of the hours ahead, oldest first, so many at once are asked what they hold: with words, few of their events are met.
_MOST_HOURS: Final = 48
_MOST_AHEAD: Final = 2_000_000
# Filters of words are asked for at most this long before what they said is looked at.
_ASKED_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Slice:
    """What one statement found, as it goes into the file, and where the next one goes on."""

    row: Row
    rows: int
    size_bytes: int
    reached: Place
    is_last: bool


@dataclass(frozen=True, slots=True)
class _Ahead:
    """Where to look next, in the order of the export; and at whose end all is done then, None for all of the span."""

    windows: list[Window]
    ends: Window | None


class Walk:
    """How large the next slice may be, by what the last ones were like. Of one reading of an export."""

    def __init__(self, request: ExportRequest, slice_bytes: int, now_s: Callable[[], float]) -> None:
        self._request = request
        self._slice_bytes = slice_bytes
        self._now_s = now_s
        self._rows = _FIRST_ROWS
        self._examined = _MOST_EXAMINED

    async def slice(self, snapshot: Snapshot, span: Span, room_bytes: int) -> Slice:
        """The first events of a span, in one snapshot.

        1. A filter that leaves something out may find nothing in days: counts and filters of words say where to look,
           for the sources that it can mean by now. Without one the first rows are at hand.
        2. The slice ends with the last of these windows; or before, where it is full.
        """
        wanted = await named(snapshot, self._request.filter)
        ahead = _Ahead([span.window], None)
        if wanted.is_narrowed:
            ahead = await (self._before if span.newest_first else self._after)(snapshot, wanted, span)  # 1
        end = span.until if ahead.ends is None else span.end_of(ahead.ends)
        if not ahead.windows:
            return Slice({}, 0, 0, end, span.behind(end).is_empty)
        most = (self._rows, min(self._slice_bytes, room_bytes))
        statement = slice_sql.file_slice(self._request.format, wanted, span, _joined(ahead.windows), most)
        (row,) = await snapshot.fetch(statement)
        is_full = row["n"] >= most[0] or row["size"] >= most[1]  # 2
        reached = Place(row["last_ts"], row["last_id"]) if is_full else end
        if row["n"]:
            self._rows = min(max(self._slice_bytes * row["n"] // max(row["size"], 1), 1), _MOST_ROWS)
        self._examined = min(self._examined * 2, _MOST_EXAMINED)
        return Slice(row, row["n"], row["size"], reached, span.behind(reached).is_empty)

    def was_slow(self) -> bool:
        """A slice took longer than a statement may; whether the next one can be smaller."""
        can_shrink = self._examined > _LEAST_EXAMINED or self._rows > 1
        self._examined = max(self._examined // 8, _LEAST_EXAMINED)
        self._rows = max(self._rows // 8, 1)
        return can_shrink

    async def _before(self, snapshot: Snapshot, wanted: SearchFilter, span: Span) -> _Ahead:
        """Newest first, as searches go."""
        latest_s = self._now_s() + _ASKED_S
        scan = ScanWindows(wanted, span.window, lambda: self._examined)
        windows: list[Window] = []
        events = 0
        async for stretch in scan.newest_first(snapshot):
            if not stretch.events:
                if self._now_s() >= latest_s:
                    return _Ahead(windows, stretch.window)
            elif windows and events + stretch.events > self._examined:
                return _Ahead(windows, windows[-1])
            else:
                windows.append(stretch.window)
                events += stretch.events
        return _Ahead(windows, windows[-1] if scan.is_cut and windows else None)

    async def _after(self, snapshot: Snapshot, wanted: SearchFilter, span: Span) -> _Ahead:
        """Oldest first: what the next hours hold, turned round."""
        counted = wanted.of_counts()
        within = span.window
        hours = await snapshot.fetch(slice_sql.hours_ahead(counted, within, _MOST_HOURS))
        if not hours:
            return _Ahead([], None)
        events, end = 0, within.start
        for hour in hours:
            if events and events + hour["n"] > _MOST_AHEAD:
                break
            events += hour["n"]
            end = min(hour["bucket"] + HOUR, within.end)
        part = Window(max(hours[0]["bucket"], within.start), end)
        scan = ScanWindows(wanted, part, lambda: self._examined)
        found = [stretch async for stretch in scan.newest_first(snapshot) if stretch.events]
        return self._first(found[::-1], part)

    def _first(self, found: list[Stretch], part: Window) -> _Ahead:
        windows: list[Window] = []
        events = 0
        for stretch in found:
            if windows and events + stretch.events > self._examined:
                return _Ahead(windows, windows[-1])
            windows.append(stretch.window)
            events += stretch.events
        return _Ahead(windows, part)


def _joined(windows: list[Window]) -> list[Window]:
    """Neighbours as one window: most slices then have a single one."""
    joined: list[Window] = []
    for window in windows:
        last = joined[-1] if joined else None
        if last is not None and (last.start == window.end or last.end == window.start):
            joined[-1] = Window(min(last.start, window.start), max(last.end, window.end))
        else:
            joined.append(window)
    return joined
