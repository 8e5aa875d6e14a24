"""Looks at the events of a range in slices, newest first, until all are seen or the time for it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from query_api.abandoned import is_abandoned
from query_api.positions import StoredUntil
from query_api.scan_windows import ScanWindows
from query_api.search import SearchFilter
from query_api.snapshot import Snapshot, StreamingSnapshot
from query_api.timeline import Window

Found = TypeVar("Found", covariant=True)  # noqa: PLC0105 - what a search finds
# The first slice may be of large events, or of a costly expression; then they grow as they prove quick.
_FIRST_ROWS: Final = 2_000
_MOST_ROWS: Final = 200_000
_QUICK_S: Final = 0.02
_SLOW_S: Final = 0.08
_GROWTH: Final = 4
# About how many events of 200 bytes one core looks at, by word or expression; only to say beforehand what it may take.
EVENTS_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """How long one search may take: after `budget_s` it begins no other slice, and no statement may take `slice_s`."""

    budget_s: float = 0.25
    slice_s: float = 5.0


DEFAULT_POLICY: Final = ScanPolicy()


class Search(Protocol[Found]):
    """One that looks at events slice by slice, and has found something also where it is broken off."""

    async def look(self, snapshot: StreamingSnapshot, windows: list[Window]) -> bool:
        """Looks at a slice; whether that is enough."""
        ...

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> Found:
        """What it has; before `unseen_until` it has not looked."""
        ...


class Scan:
    """One search through the events of `within`, newest first, and how far it came."""

    def __init__(self, wanted: SearchFilter, within: Window, policy: ScanPolicy, now_s: Callable[[], float]) -> None:
        self._windows = ScanWindows(wanted, within, lambda: self._slice_rows)
        self._within = within
        self._policy = policy
        self._now_s = now_s
        self._slice_rows = _FIRST_ROWS
        self.scanned_until = within.end
        self.is_complete = False

    @property
    def has_begun(self) -> bool:
        """Whether any time was looked at: whoever goes on from there gets somewhere."""
        return self.scanned_until < self._within.end

    @property
    def unseen_until(self) -> datetime | None:
        """Before this nothing was looked at; None where all was."""
        return None if self.is_complete or self.scanned_until <= self._within.start else self.scanned_until

    async def slices(self, snapshot: Snapshot) -> AsyncGenerator[list[Window]]:
        """The next windows to look at; asked for another one, it takes them as looked at.

        1. What lies between windows holds nothing that is wanted.
        2. A slice is done when the next one is asked for: only then does `scanned_until` move.
        3. It is left off only where something was done, so that whoever goes on from `scanned_until` gets somewhere.
        """
        ends_s = self._now_s() + self._policy.budget_s

        def is_over() -> bool:
            return self._now_s() >= ends_s or is_abandoned()

        pending: list[Window] = []
        rows = 0
        async for stretch in self._windows.newest_first(snapshot):  # 1
            is_mark = not stretch.events
            if pending and (rows + stretch.events > self._slice_rows or (is_mark and is_over())):
                begun_s = self._now_s()
                yield pending
                self._looked_at(pending[-1].start, self._now_s() - begun_s)  # 2
                pending, rows = [], 0
            if is_mark and not pending:
                self.scanned_until = stretch.window.start
            if not pending and self.has_begun and is_over():  # 3
                return
            if not is_mark:
                pending.append(stretch.window)
                rows += stretch.events
        if pending:
            yield pending
            self._looked_at(pending[-1].start, 0.0)
        self.is_complete = not self._windows.is_cut

    def _looked_at(self, until: datetime, took_s: float) -> None:
        self.scanned_until = until
        if took_s < _QUICK_S:
            self._slice_rows = min(self._slice_rows * _GROWTH, _MOST_ROWS)
        elif took_s > _SLOW_S:
            self._slice_rows = max(self._slice_rows // _GROWTH, 1)
