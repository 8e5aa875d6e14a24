"""Remembers how many events each source had in past days, hours and minutes, while the database proves that it has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np

from ingest_gateway.contract import EPOCH
from query_api import source_sql
from query_api.filter_language.expressions import EVERYTHING
from query_api.search import SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.source_looks import Looks
from query_api.source_stretches import DAY_MINUTES, FIVE_MINUTES, HOUR_MINUTES, DividedRange, Stretch, divided, together
from query_api.source_totals import Cells, Counts, SourceNames, SourceTotals
from query_api.timeline import MINUTE, Level, alike_pieces

# Longer ranges are counted by PostgreSQL alone.
MOST_HOURS: Final = 400 * 24
# Severities of sources. Above, bringing them all here takes longer than having PostgreSQL add them up.
_MOST_CELLS: Final = 200_000
# Counts that are kept, of 16 bytes each.
MOST_COUNTS: Final = 2_000_000
# Names, of which there may be some that no event has any more, are so many times fewer; above, all is forgotten.
_COUNTS_A_NAME: Final = 4
_MOST_SUMS: Final = 8
_MOST_LOOKS: Final = 2 * MOST_HOURS
# First all that is remembered is proven together; then each by itself, days and then their hours; then nothing is used.
_TRIES: Final = 4
# What was used within this time is not forgotten for anything else.
_USED_FOR_S: Final = 60.0
# After this long a statement of `learn` is the last one.
_LEARN_S: Final = 0.02
# So many stretches of minutes are learned by one statement. Single minutes are, where there are few severities of
# sources: an hour has 60 of them.
_MINUTES_AT_ONCE: Final = 8
_FEW_CELLS: Final = 10_000
# How many events each source has, and a row with how far all is stored.
Counted = tuple[SourceTotals, Row]


@dataclass(slots=True, eq=False)
class _Kept:
    """`events` is what proves it: those of the stretch, of any severity."""

    events: int
    cells: Cells
    used_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Era:
    """What is kept belongs to one: it grew from this state on, and numbers its sources so."""

    since: tuple[int, int] = (0, 0)
    names: SourceNames = field(default_factory=SourceNames)


_Known = Mapping[Stretch, _Kept]


@dataclass(frozen=True, slots=True, eq=False)
class _Sum:
    parts: tuple[_Kept, ...]
    total: Counts


@dataclass(frozen=True, slots=True)
class _Wish:
    """Stretches that could be remembered, of the severities of a filter."""

    wanted: SearchFilter
    stretches: Sequence[Stretch]


class SourceMemory:
    """Of days, hours and minutes that do not change all the time. Everything else PostgreSQL adds up, in the same
    statement that proves what is remembered: so what is answered is as exact as without memory, also where events come
    late for a day long over.

    While retention drops nothing, and the server is not another one, counts only grow: so counts of a stretch are the
    same where its number of events is, and those of many stretches where the sum of these numbers is.
    """

    def __init__(self, now_s: Callable[[], float], most_counts: int = MOST_COUNTS) -> None:
        self._now_s = now_s
        self._most_counts = most_counts
        self._era = _Era()
        self._kept: OrderedDict[tuple[Stretch, tuple[int, ...]], _Kept] = OrderedDict()
        self._kept_counts = 0
        self._looks = Looks(now_s, _MOST_LOOKS)
        self._wished: _Wish | None = None
        # As of the last look; too many before the first.
        self._cells = _MOST_CELLS + 1
        self._sums: OrderedDict[tuple[Stretch, ...], _Sum] = OrderedDict()

    async def by_source(self, session: Snapshot, wanted: SearchFilter, topic: str, latest: datetime) -> Counted | None:
        """How many wanted events each source has; None where PostgreSQL should add up everything.

        1. What is remembered is taken to be so still.
        2. All the rest is asked for, and with it what proves that, by one statement, that is of one state.
        3. Where it is otherwise, each of what is remembered is looked at, and what has changed is forgotten.
        """
        parts = _divided(wanted, latest)
        if parts is None or await self._has_too_many(session):
            return None
        for trial in range(_TRIES):
            is_last, era = trial == _TRIES - 1, self._era
            known = {} if is_last else self._recall(parts, wanted.severities)  # 1
            each = {stretch: kept.events for stretch, kept in known.items()}
            proven = each if trial else together(each)
            unknown = parts.unknown(known)
            asked = source_sql.by_source(wanted, parts.pieces(unknown), [*proven, *unknown], topic)
            (row,) = await session.fetch(asked)  # 2
            self._cells = row["cells"]
            events = _events([*proven, *unknown], row)
            is_grown = self._is_of_era(row) and self._era is era
            wrong = [stretch for stretch, n in proven.items() if events[stretch] != n]
            if not known or (is_grown and not wrong):
                self._wish(self._looks.worth(parts, each, events, (latest - EPOCH) // MINUTE), wanted)
                return self._total(parts, known, row), row
            if is_grown and trial:
                self._forget_changed(wrong, known, wanted.severities)  # 3
        return None

    @property
    def is_to_learn(self) -> bool:
        """Whether `learn` could make the next answer quicker."""
        return self._wished is not None

    async def learn(self, session: Snapshot) -> None:
        """Remembers what is wished for: one day or hour at least, or some minutes, the longest first, and more while
        there is time. Nobody waits for it.
        """
        wish, self._wished = self._wished, None
        until_s = self._now_s() + _LEARN_S
        left = wish.stretches if wish is not None else ()
        while wish is not None and left and self._has_room(left[0]):
            number = 1 if left[0].level is Level.HOURS else _MINUTES_AT_ONCE
            now, left = left[:number], left[number:]
            (row,) = await session.fetch(source_sql.of_each(wish.wanted, now))
            if self._is_of_era(row):
                self._keep(now, wish.wanted.severities, row)
            if left and self._now_s() >= until_s:
                self._wished = replace(wish, stretches=left)
                break

    async def _has_too_many(self, session: Snapshot) -> bool:
        if self._cells > _MOST_CELLS:
            (row,) = await session.fetch(source_sql.cells())
            self._cells = row["cells"]
        return self._cells > _MOST_CELLS

    def _is_of_era(self, row: Row) -> bool:
        """Whether all that is kept grew into the state of the row; else it is forgotten."""
        since = row["drops"], row["started_us"]
        is_of_era = since == self._era.since and len(self._era.names) <= self._most_counts // _COUNTS_A_NAME
        if not is_of_era:
            self._era = _Era(since)
            self._kept.clear()
            self._kept_counts = 0
            self._sums.clear()
            self._looks.forget()
        return is_of_era

    def _recall(self, parts: DividedRange, severities: tuple[int, ...]) -> dict[Stretch, _Kept]:
        """What is kept of a range, days rather than hours."""
        known: dict[Stretch, _Kept] = {}
        for day, is_whole in parts.days():
            if is_whole and (kept := self._used(day, severities)):
                known[day] = kept
            else:
                for hour in day.parts(HOUR_MINUTES):
                    if kept := self._used(hour, severities):
                        known[hour] = kept
        for stretch in parts.edges:
            if kept := self._used(stretch, severities):
                known[stretch] = kept
        return known

    def _used(self, stretch: Stretch, severities: tuple[int, ...]) -> _Kept | None:
        """What was of use is forgotten last."""
        kept = self._kept.get((stretch, severities))
        if kept is not None:
            kept.used_s = self._now_s()
            self._kept.move_to_end((stretch, severities))
        return kept

    def _wish(self, worth: Iterable[Stretch], wanted: SearchFilter) -> None:
        least = 1 if self._cells <= _FEW_CELLS else FIVE_MINUTES
        long_enough = (stretch for stretch in worth if stretch.minutes >= least)
        unknown = (stretch for stretch in long_enough if (stretch, wanted.severities) not in self._kept)
        stretches = sorted(filter(self._has_room, unknown), key=lambda one: (-one.minutes, one.first))
        if stretches:
            self._wished = _Wish(wanted, stretches)

    def _total(self, parts: DividedRange, known: _Known, row: Row) -> SourceTotals:
        """All of it."""
        names = self._era.names
        start = self._sum({one: kept for one, kept in known.items() if one not in parts.edges})
        cells = [(names.cells(row["sources"], row["counts"]), 1)]
        for stretch, is_added in parts.edges.items():
            if kept := known.get(stretch):
                cells.append((kept.cells, 1 if is_added else -1))
        return names.named(names.total(start, cells))

    def _sum(self, known: _Known) -> Counts:
        """Of all of these; the last few sums are kept, since most ranges have the same days and hours as one before."""
        stretches = tuple(known)
        kept = self._sums.pop(stretches, None)
        if kept is None or any(one is not other for one, other in zip(kept.parts, known.values(), strict=True)):
            total = self._era.names.total(np.zeros(0, np.int64), [(part.cells, 1) for part in known.values()])
            kept = _Sum(tuple(known.values()), total)
        self._sums[stretches] = kept
        if len(self._sums) > _MOST_SUMS:
            self._sums.popitem(last=False)
        return kept.total

    def _has_room(self, stretch: Stretch) -> bool:
        """No hour, and no few minutes, take the place of a day; and no day that of what was of use just now, or a range
        that is too large would be learned anew for each question.
        """
        if stretch.minutes != DAY_MINUTES:
            return self._kept_counts <= self._most_counts // 2
        oldest = next(iter(self._kept.values()), None)
        return oldest is None or self._kept_counts < self._most_counts or self._now_s() - oldest.used_s >= _USED_FOR_S

    def _keep(self, stretches: Sequence[Stretch], severities: tuple[int, ...], row: Row) -> None:
        """What a row says of each."""
        places, events = np.array(row["places"] or (), np.intp), _events(stretches, row)
        cells = self._era.names.cells(row["sources"], row["counts"])
        for place, stretch in enumerate(stretches, 1):
            here = places == place
            self._forget(stretch, severities)
            kept = _Kept(events[stretch], Cells(cells.sources[here], cells.counts[here]), self._now_s())
            self._kept[stretch, severities] = kept
            self._kept_counts += len(kept.cells.counts)
        while self._kept_counts > self._most_counts:
            self._forget(*next(iter(self._kept)))

    def _forget_changed(self, wrong: Iterable[Stretch], known: _Known, severities: tuple[int, ...]) -> None:
        for stretch in wrong:
            if self._kept.get((stretch, severities)) is known[stretch]:
                self._forget(stretch, severities)

    def _forget(self, stretch: Stretch, severities: tuple[int, ...]) -> None:
        gone = self._kept.pop((stretch, severities), None)
        self._kept_counts -= len(gone.cells.counts) if gone is not None else 0


def _divided(wanted: SearchFilter, latest: datetime) -> DividedRange | None:
    """None where counts by source cannot be remembered."""
    if wanted.is_by_source or wanted.expression != EVERYTHING:
        return None
    parts = divided(alike_pieces(wanted.start, wanted.end, latest))
    return parts if parts is not None and parts.hours.minutes <= MOST_HOURS * HOUR_MINUTES else None


def _events(stretches: Iterable[Stretch], row: Row) -> dict[Stretch, int]:
    """Of the stretches that the row was asked about."""
    hours, minutes = iter(row["hours"] or ()), iter(row["minutes"] or ())
    return {stretch: next(hours if stretch.level is Level.HOURS else minutes) for stretch in stretches}
