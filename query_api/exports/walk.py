"""Goes through a span in slices, each with as many events to look at as one short statement may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from query_api.exports import slice_sql
from query_api.exports.request import ExportRequest
from query_api.exports.span import Place, Span
from query_api.search import SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.timeline import HOUR, MINUTE, Window

_FIRST_ROWS: Final = 2_000
_MOST_ROWS: Final = 50_000
_MOST_HOURS: Final = 50
_LEAST_EXAMINED: Final = 500
_MOST_EXAMINED: Final = 200_000
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one statement found, as it goes into the file, and where the next one goes on; None at the end."""

    row: Row
    rows: int
    size_bytes: int
    reached: Place
    is_last: bool


class Walk:
    """How large the next slice may be, by what the last ones were like. Of one reading of an export."""

    def __init__(self, request: ExportRequest, slice_bytes: int) -> None:
        self._request = request
        self._slice_bytes = slice_bytes
        self._rows = _FIRST_ROWS
        self._examined = _MOST_EXAMINED

    async def slice(self, snapshot: Snapshot, span: Span, room_bytes: int) -> Slice:
        """The first events of a span, in one snapshot.

        1. A filter that leaves something out may find nothing in days: the counts say where to look, and how much
           there is to look at. Without one the first rows are at hand.
        2. The slice ends with the last of these stretches; or before, where it is full.
        """
        wanted = self._request.filter
        windows = [span.window]
        if wanted.is_narrowed:
            windows = await self._windows(snapshot, wanted.of_counts(), span)  # 1
        if not windows:
            return Slice({}, 0, 0, span.until, is_last=True)
        most = (self._rows, min(self._slice_bytes, room_bytes))
        (row,) = await snapshot.fetch(slice_sql.file_slice(self._request.format, wanted, span, windows, most))
        is_full = row["n"] >= most[0] or row["size"] >= most[1]  # 2
        reached = Place(row["last_ts"], row["last_id"]) if is_full else span.end_of(windows[-1])
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

    async def _windows(self, snapshot: Snapshot, wanted: SearchFilter, span: Span) -> list[Window]:
        """The next stretches with about as many events as a slice may look at, in the order of the export."""
        newest_first, within = span.newest_first, span.window
        hours = await snapshot.fetch(slice_sql.buckets(wanted, HOUR, within, _MOST_HOURS, newest_first=newest_first))
        found: list[tuple[Window, int]] = []
        for hour in hours:
            window = _cut(hour["bucket"], HOUR, within)
            if hour["n"] <= self._examined:
                found.append((window, hour["n"]))
            elif not found:
                minutes = await snapshot.fetch(slice_sql.buckets(wanted, MINUTE, window, 60, newest_first=newest_first))
                for minute in minutes:
                    found += self._parts(_cut(minute["bucket"], MINUTE, window), minute["n"], newest_first)
            if hour["n"] > self._examined or sum(n for _, n in found) >= self._examined:
                break
        return _joined(self._enough(found))

    def _enough(self, found: list[tuple[Window, int]]) -> list[Window]:
        windows: list[Window] = []
        left = self._examined
        for window, n in found:
            if windows and n > left:
                break
            windows.append(window)
            left -= n
        return windows

    def _parts(self, window: Window, n: int, newest_first: bool) -> list[tuple[Window, int]]:
        """The window in pieces of about a slice: within a minute events are taken as evenly spread."""
        count = max(-(-n // self._examined), 1)
        length = max((window.end - window.start) / count, _MICROSECOND)
        parts = []
        start = window.start
        while start < window.end:
            end = min(start + length, window.end)
            parts.append((Window(start, end), -(-n // count)))
            start = end
        return parts[::-1] if newest_first else parts


def _cut(bucket: datetime, step: timedelta, within: Window) -> Window:
    return Window(max(bucket, within.start), min(bucket + step, within.end))


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
