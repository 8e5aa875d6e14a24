"""Looks at the events of a range in slices, newest first, until all are seen or the time for it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from query_api import scan_sql
from query_api.search import SearchFilter
from query_api.snapshot import Snapshot
from query_api.timeline import HOUR, MINUTE, Window

# Two years of hours: what lies further back is looked at when the search goes on there.
MOST_HOURS: Final = 20_000
# The first slice may be of large events, or of a costly expression; then they grow as they prove quick.
_FIRST_ROWS: Final = 2_000
_MOST_ROWS: Final = 200_000
_QUICK_S: Final = 0.02
_SLOW_S: Final = 0.08
_GROWTH: Final = 4
# About how many events of 200 bytes one core looks at, by word or expression; only to say beforehand what it may take.
EVENTS_PER_S: Final = 1_000_000
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """How long one search may take: after `budget_s` it begins no other slice, and no slice may take `slice_s`."""

    budget_s: float = 0.25
    slice_s: float = 5.0


DEFAULT_POLICY: Final = ScanPolicy()


class Scan:
    """One search through the events of `within`, newest first, and how far it came."""

    def __init__(self, wanted: SearchFilter, within: Window, policy: ScanPolicy, now_s: Callable[[], float]) -> None:
        self._wanted = wanted.of_counts()
        self._within = within
        self._policy = policy
        self._now_s = now_s
        self._slice_rows = _FIRST_ROWS
        self._is_cut = False
        self.scanned_until = within.end
        self.is_complete = False

    @property
    def has_begun(self) -> bool:
        """Whether any time was looked at: whoever goes on from there gets somewhere."""
        return self.scanned_until < self._within.end

    @property
    def unseen_until(self) -> datetime | None:
        """Before this nothing was looked at; None where all was."""
        return None if self.is_complete else self.scanned_until

    async def slices(self, snapshot: Snapshot) -> AsyncGenerator[list[Window]]:
        """The next windows to look at; asked for another one, it takes them as looked at.

        1. What lies between windows holds nothing that is wanted: the counts say so.
        2. A slice is done when the next one is asked for: only then does `scanned_until` move.
        3. The first slice is always given, so that whoever goes on from `scanned_until` gets somewhere.
        """
        started_s = self._now_s()
        await snapshot.fetch(scan_sql.longest_statement(self._policy.slice_s))
        pending: list[Window] = []
        rows = 0
        async for window, n in self._windows(snapshot):  # 1
            if pending and rows + n > self._slice_rows:
                begun_s = self._now_s()
                yield pending
                self._looked_at(pending, self._now_s() - begun_s)  # 2
                if self._now_s() - started_s >= self._policy.budget_s:  # 3
                    return
                pending, rows = [], 0
            pending.append(window)
            rows += n
        if pending:
            yield pending
            self._looked_at(pending, 0.0)
        self.is_complete = not self._is_cut

    def _looked_at(self, windows: list[Window], took_s: float) -> None:
        self.scanned_until = windows[-1].start
        if took_s < _QUICK_S:
            self._slice_rows = min(self._slice_rows * _GROWTH, _MOST_ROWS)
        elif took_s > _SLOW_S:
            self._slice_rows = max(self._slice_rows // _GROWTH, 1)

    async def _windows(self, snapshot: Snapshot) -> AsyncIterator[tuple[Window, int]]:
        """Hours with wanted events, or their minutes where that says more, each with how many events it has."""
        hours = await snapshot.fetch(scan_sql.events_to_read(self._wanted, HOUR, self._within, MOST_HOURS))
        for hour in hours:
            window = self._cut(hour["bucket"], HOUR)
            if hour["n"] <= self._slice_rows:
                yield window, hour["n"]
                continue
            for minute in await snapshot.fetch(scan_sql.events_to_read(self._wanted, MINUTE, window, 60)):
                for part in self._parts(self._cut(minute["bucket"], MINUTE, window), minute["n"]):
                    yield part
        self._is_cut = len(hours) == MOST_HOURS

    def _cut(self, bucket: datetime, step: timedelta, within: Window | None = None) -> Window:
        bounds = within or self._within
        return Window(max(bucket, bounds.start), min(bucket + step, bounds.end))

    def _parts(self, window: Window, rows: int) -> list[tuple[Window, int]]:
        """The window in pieces of about a slice, newest first: within a minute events are taken as evenly spread."""
        count = max(-(-rows // self._slice_rows), 1)
        length = max((window.end - window.start) / count, _MICROSECOND)
        parts = []
        end = window.end
        while end > window.start:
            start = max(end - length, window.start)
            parts.append((Window(start, end), -(-rows // count)))
            end = start
        return parts
