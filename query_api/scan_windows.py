"""Where a search through events has to look: windows of time, newest first, that may hold wanted ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from query_api import scan_sql
from query_api.filter_language.needed_words import ANYTHING, needed_words
from query_api.search import SearchFilter
from query_api.snapshot import Snapshot
from query_api.timeline import HOUR, MINUTE, Window
from query_api.word_blocks import Block, HourOfEvents, blocks_with, united

# Two years of hours: what lies further back is looked at when the search goes on there.
MOST_HOURS: Final = 20_000
# Filters are asked of hours with so many events together: few at first, since a common word is found at once.
_FIRST_ASKED: Final = 200_000
_MOST_ASKED: Final = 10_000_000
_GROWTH: Final = 8
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window to look at and about how many events it has; an empty one says that all above is taken care of."""

    window: Window
    events: int


class ScanWindows:
    """Those of one search. What lies between them holds nothing that is wanted: counts and word filters say so."""

    def __init__(self, wanted: SearchFilter, within: Window, slice_rows: Callable[[], int]) -> None:
        self._wanted = wanted.of_counts()
        self._needed = needed_words(wanted.expression)
        self._within = within
        self._slice_rows = slice_rows
        self.is_cut = False

    async def newest_first(self, snapshot: Snapshot) -> AsyncIterator[Stretch]:
        """Hours with wanted events, or their minutes, or the blocks in them, where that says more."""
        hours = await self._hours(snapshot)
        self.is_cut = len(hours) == MOST_HOURS
        if self._needed == ANYTHING:
            for hour in hours:
                async for stretch in self._of_counts(snapshot, hour):
                    yield stretch
        else:
            for asked in _asked_together(hours):
                blocks = await blocks_with(snapshot, self._needed, asked)
                for hour in asked:
                    found = blocks.get(hour.start)
                    within = (
                        self._of_counts(snapshot, hour) if found is None else self._of_blocks(snapshot, hour, found)
                    )
                    async for stretch in within:
                        yield stretch
                is_last = asked[-1] is hours[-1] and not self.is_cut
                oldest = self._within.start if is_last else max(asked[-1].start, self._within.start)
                yield Stretch(Window(oldest, oldest), 0)

    async def events_to_read(self, snapshot: Snapshot, is_over: Callable[[], bool]) -> int:
        """About how many events there are to look at; once the time is over, filters are no longer asked."""
        total = 0
        for asked in _asked_together(await self._hours(snapshot)):
            knows_words = self._needed != ANYTHING and not is_over()
            blocks = await blocks_with(snapshot, self._needed, asked) if knows_words else {}
            for hour in asked:
                found = blocks.get(hour.start)
                if found is not None:
                    total += min(sum(block.events for block in found), hour.events)
                elif is_over():
                    total += hour.events
                else:
                    total += sum([stretch.events async for stretch in self._of_counts(snapshot, hour)])
        return total

    async def _hours(self, snapshot: Snapshot) -> list[HourOfEvents]:
        rows = await snapshot.fetch(scan_sql.events_to_read(self._wanted, HOUR, self._within, MOST_HOURS))
        return [HourOfEvents(row["bucket"], row["n"]) for row in rows]

    async def _of_counts(self, snapshot: Snapshot, hour: HourOfEvents) -> AsyncIterator[Stretch]:
        window = self._cut(Window(hour.start, hour.start + HOUR))
        if hour.events <= self._slice_rows():
            yield Stretch(window, hour.events)
            return
        for minute in await self._minutes(snapshot, window):
            for part in self._parts(minute):
                yield part

    async def _of_blocks(
        self, snapshot: Snapshot, hour: HourOfEvents, blocks: Sequence[Block]
    ) -> AsyncIterator[Stretch]:
        found = [Stretch(self._cut(block.window), min(block.events, hour.events)) for block in united(blocks)]
        found = [stretch for stretch in found if stretch.window.start < stretch.window.end]
        if self._wanted.is_narrowed and sum(stretch.events for stretch in found) > self._slice_rows():
            minutes = await self._minutes(snapshot, self._cut(Window(hour.start, hour.start + HOUR)))
            found = list(_common(found, minutes))
        for stretch in found:
            for part in self._parts(stretch):
                yield part

    async def _minutes(self, snapshot: Snapshot, window: Window) -> list[Stretch]:
        rows = await snapshot.fetch(scan_sql.events_to_read(self._wanted, MINUTE, window, 60))
        return [Stretch(self._cut(Window(row["bucket"], row["bucket"] + MINUTE)), row["n"]) for row in rows]

    def _cut(self, window: Window) -> Window:
        return Window(max(window.start, self._within.start), min(window.end, self._within.end))

    def _parts(self, stretch: Stretch) -> Iterator[Stretch]:
        """In pieces of about a slice, newest first: events are taken as evenly spread."""
        count = max(-(-stretch.events // self._slice_rows()), 1)
        length = max((stretch.window.end - stretch.window.start) / count, _MICROSECOND)
        end = stretch.window.end
        while end > stretch.window.start:
            start = max(end - length, stretch.window.start)
            yield Stretch(Window(start, end), -(-stretch.events // count))
            end = start


def _asked_together(hours: Sequence[HourOfEvents]) -> Iterator[Sequence[HourOfEvents]]:
    together: list[HourOfEvents] = []
    events, most = 0, _FIRST_ASKED
    for hour in hours:
        if together and events + hour.events > most:
            yield together
            together, events, most = [], 0, min(most * _GROWTH, _MOST_ASKED)
        together.append(hour)
        events += hour.events
    if together:
        yield together


def _common(ours: Sequence[Stretch], theirs: Sequence[Stretch]) -> Iterator[Stretch]:
    """What is in both; each newest first and without overlaps."""
    at = 0
    for one in ours:
        while at < len(theirs) and theirs[at].window.start >= one.window.end:
            at += 1
        for other in theirs[at:]:
            if other.window.end <= one.window.start:
                break
            window = Window(max(one.window.start, other.window.start), min(one.window.end, other.window.end))
            yield Stretch(window, min(one.events, other.events))
