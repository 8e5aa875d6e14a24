"""Remembers how many events each source had in past days, hours and minutes, while the database proves that it has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Final

from query_api import source_sql
from query_api.filter_language.expressions import EVERYTHING
from query_api.search import SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.source_proofs import Proof, StretchCounts
from query_api.source_stretches import DAY_MINUTES, FIVE_MINUTES, HOUR_MINUTES, DividedRange, Stretch, divided, merged
from query_api.timeline import Piece

# Longer ranges are counted by PostgreSQL alone.
MOST_HOURS: Final = 400 * 24
# Severities of sources. Above, bringing them all here takes longer than having PostgreSQL add them up.
_MOST_CELLS: Final = 200_000
# Counts that are kept, of about 100 bytes each.
MOST_COUNTS: Final = 400_000
_MOST_SUMS: Final = 8
_MOST_SEEN: Final = 2 * MOST_HOURS
# After this long remembering ends, until the next question.
_LEARN_S: Final = 0.02
# How many events each source has, and a row with how far all is stored.
Counted = tuple[dict[str, int], Row]


@dataclass(frozen=True, slots=True)
class _Kept:
    proof: Proof
    by_source: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Sum:
    parts: tuple[_Kept, ...]
    by_source: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of a range: the stretches it is made of, those that were the same before, and all proofs."""

    used: dict[Stretch, Proof]
    steady: set[Stretch]
    proofs: dict[Stretch, Proof]

    def add(self, stretch: Stretch, proof: Proof, *, is_steady: bool) -> None:
        """One of the stretches."""
        self.used[stretch] = self.proofs[stretch] = proof
        if is_steady:
            self.steady.add(stretch)


@dataclass(frozen=True, slots=True)
class _Wish:
    """Stretches of a range that could be remembered."""

    wanted: SearchFilter
    parts: DividedRange
    topic: str
    stretches: Sequence[Stretch] = ()


class SourceMemory:
    """Of days, hours and fives of minutes that were the same at two looks. Everything else PostgreSQL adds up, in the
    snapshot of the proofs: so what is answered is as exact as without memory, also where events come late for a day
    long over.
    """

    def __init__(self, now_s: Callable[[], float], most_counts: int = MOST_COUNTS) -> None:
        self._now_s = now_s
        self._most_counts = most_counts
        self._kept: OrderedDict[tuple[Stretch, tuple[int, ...]], _Kept] = OrderedDict()
        self._kept_counts = 0
        self._seen: OrderedDict[Stretch, Proof] = OrderedDict()
        self._wished: _Wish | None = None
        # As of the last look; None before the first.
        self._cells: int | None = None
        self._sums: OrderedDict[tuple[Stretch, ...], _Sum] = OrderedDict()

    async def recalled(
        self, session: Snapshot, wanted: SearchFilter, cut: Sequence[Piece], topic: str
    ) -> Counted | None:
        """How many wanted events each source has in all pieces of a range, by one statement.

        1. What is remembered is taken to be so still.
        2. All the rest is asked for, and with it the proofs.
        3. None where something proves to be otherwise: then `by_source` can tell. Before the first look, and where
           there are too many sources to remember, all would be asked for in vain.
        """
        parts = _divided(wanted, cut)
        if parts is None or self._cells is None or self._cells > _MOST_CELLS:
            return None
        known = self._remembered(parts, wanted.severities)  # 1
        rows = await session.fetch(source_sql.with_state(wanted, _unknown(parts, known), parts, topic))  # 2
        (state,) = (row for row in rows if row["source"] is None)
        looked = self._looked(parts, state)
        self._cells = state["cells"]
        if self._cells > _MOST_CELLS or any(looked.used.get(one) != kept.proof for one, kept in known.items()):  # 3
            return None
        self._note(looked, known, wanted.severities)
        self._wish(looked, known, _Wish(wanted, parts, topic))
        counts = self._sum({stretch: kept for stretch, kept in known.items() if stretch.minutes >= HOUR_MINUTES})
        fives = {stretch: kept.by_source for stretch, kept in known.items() if stretch.minutes < HOUR_MINUTES}
        return _total(parts, fives, [row for row in rows if row["source"] is not None], counts), state

    async def by_source(
        self, snapshot: Snapshot, wanted: SearchFilter, cut: Sequence[Piece], topic: str
    ) -> Counted | None:
        """The same, by two statements of one state; None where PostgreSQL should add up everything.

        1. The hours of the range with their proofs, as days where a day was the same at the last look; and the fives
           of minutes at its edges.
        2. What is remembered with the same proof.
        3. All the rest, with the minutes and rows at the edges.
        """
        parts = _divided(wanted, cut)
        if parts is None:
            return None
        (state,) = await snapshot.fetch(source_sql.state(parts, topic))
        self._cells = state["cells"]
        if self._cells > _MOST_CELLS:
            return None
        looked = self._looked(parts, state)  # 1
        known: dict[Stretch, Mapping[str, int]] = {}
        for stretch, proof in looked.used.items():
            kept = self._kept.get((stretch, wanted.severities))
            if kept is not None and kept.proof == proof:
                known[stretch] = kept.by_source  # 2
        self._note(looked, known, wanted.severities)
        self._wish(looked, known, _Wish(wanted, parts, topic))
        unknown = _unknown(parts, known)
        rows = await snapshot.fetch(source_sql.by_source(wanted, unknown)) if unknown else ()  # 3
        return _total(parts, known, rows), state

    @property
    def is_to_learn(self) -> bool:
        """Whether `learn` could make the next answer quicker."""
        return self._wished is not None

    async def learn(self, snapshot: Snapshot) -> None:
        """Remembers what was the same at two looks: one of these stretches at least, the longest first, and more while
        there is time. Nobody waits for it.
        """
        wish, self._wished = self._wished, None
        if wish is None:
            return
        until_s = self._now_s() + _LEARN_S
        (state,) = await snapshot.fetch(source_sql.state(wish.parts, wish.topic))
        counts = StretchCounts.of(state)
        for number, stretch in enumerate(sorted(wish.stretches, key=lambda one: (-one.minutes, one.first))):
            if (number and self._now_s() >= until_s) or not self._has_room(stretch):
                break
            if (proof := counts.proof(stretch)).events:
                rows = await snapshot.fetch(source_sql.by_source(wish.wanted, [stretch.piece()]))
                # One text for a source in all stretches.
                by_source = {intern(row["source"]): row["n"] for row in rows}
                self._keep(stretch, wish.wanted.severities, _Kept(proof, by_source))

    def _wish(self, looked: _Looked, known: Container[Stretch], wish: _Wish) -> None:
        stretches = [stretch for stretch in looked.steady if stretch not in known and self._has_room(stretch)]
        if stretches:
            self._wished = replace(wish, stretches=stretches)

    def _sum(self, known: Mapping[Stretch, _Kept]) -> dict[str, int]:
        """Of all of these; the last few sums are kept, since most ranges have the same days and hours as one before."""
        stretches = tuple(known)
        kept = self._sums.pop(stretches, None)
        if kept is None or any(one is not other for one, other in zip(kept.parts, known.values(), strict=True)):
            counts: dict[str, int] = {}
            for part in known.values():
                _add(counts, part.by_source, 1)
            kept = _Sum(tuple(known.values()), counts)
        self._sums[stretches] = kept
        if len(self._sums) > _MOST_SUMS:
            self._sums.popitem(last=False)
        return kept.by_source.copy()

    def _remembered(self, parts: DividedRange, severities: tuple[int, ...]) -> dict[Stretch, _Kept]:
        """What is kept of a range, the largest stretches first, proven or not."""
        found: dict[Stretch, _Kept] = {}
        for day, is_whole in parts.days():
            if is_whole and (kept := self._kept.get((day, severities))):
                found[day] = kept
                continue
            for hour in day.parts(HOUR_MINUTES):
                if kept := self._kept.get((hour, severities)):
                    found[hour] = kept
        for five, _ in parts.fives():
            if kept := self._kept.get((five, severities)):
                found[five] = kept
        return found

    def _looked(self, parts: DividedRange, state: Row) -> _Looked:
        """What the state says of each stretch. Those without events are left out, and hours of a day that is steady."""
        looked, counts = _Looked({}, set(), {}), StretchCounts.of(state)
        steady_days: set[int] = set()
        for number, n in counts.days.items():
            day = Stretch(number * DAY_MINUTES, (number + 1) * DAY_MINUTES)
            if parts.hours.first <= day.first and day.end <= parts.hours.end:
                looked.proofs[day] = proof = Proof(n, *counts.about)
                if self._seen.get(day) == proof:
                    looked.add(day, proof, is_steady=True)
                    steady_days.add(number)
        parted = [stretch for stretch in counts.hours if stretch.first // DAY_MINUTES not in steady_days]
        for stretch in (*parted, *counts.fives):
            proof = counts.proof(stretch)
            looked.add(stretch, proof, is_steady=self._seen.get(stretch) == proof)
        return looked

    def _note(self, looked: _Looked, known: Iterable[Stretch], severities: tuple[int, ...]) -> None:
        """For the next look; and what was of use is forgotten last."""
        for stretch, proof in looked.proofs.items():
            self._seen[stretch] = proof
            self._seen.move_to_end(stretch)
        while len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        for stretch in known:
            self._kept.move_to_end((stretch, severities))

    def _has_room(self, stretch: Stretch) -> bool:
        """No hour, and no few minutes, take the place of a day."""
        return stretch.minutes == DAY_MINUTES or self._kept_counts <= self._most_counts // 2

    def _keep(self, stretch: Stretch, severities: tuple[int, ...], kept: _Kept) -> None:
        self._forget(stretch, severities)
        self._kept[stretch, severities] = kept
        self._kept_counts += len(kept.by_source)
        while self._kept_counts > self._most_counts:
            self._forget(*next(iter(self._kept)))

    def _forget(self, stretch: Stretch, severities: tuple[int, ...]) -> None:
        gone = self._kept.pop((stretch, severities), None)
        self._kept_counts -= len(gone.by_source) if gone is not None else 0


def _divided(wanted: SearchFilter, cut: Sequence[Piece]) -> DividedRange | None:
    """None where counts by source cannot be remembered."""
    if wanted.is_by_source or wanted.expression != EVERYTHING:
        return None
    parts = divided(cut)
    return parts if parts is not None and parts.hours.minutes <= MOST_HOURS * HOUR_MINUTES else None


def _unknown(parts: DividedRange, known: Container[Stretch]) -> list[Piece]:
    """What PostgreSQL has to add up."""
    hours = [hour for day, _ in parts.days() if day not in known for hour in day.parts(HOUR_MINUTES)]
    pieces = [stretch.piece() for stretch in merged(hour for hour in hours if hour not in known)]
    for edge, is_added in parts.edges:
        fives = merged(five for five in edge.parts(FIVE_MINUTES) if five not in known)
        pieces += [replace(five.piece(), is_added=is_added) for five in fives]
    return [*pieces, *parts.rest]


def _total(
    parts: DividedRange,
    known: Mapping[Stretch, Mapping[str, int]],
    rows: Sequence[Row],
    counts: dict[str, int] | None = None,
) -> dict[str, int]:
    """All of it, added to `counts`; sources of which nothing is left are not in it."""
    counts = {} if counts is None else counts
    _add(counts, {row["source"]: row["n"] for row in rows}, 1)
    taken_off = {five for five, is_added in parts.fives() if not is_added}
    for stretch, by_source in known.items():
        _add(counts, by_source, -1 if stretch in taken_off else 1)
    return {source: n for source, n in counts.items() if n > 0}


def _add(counts: dict[str, int], by_source: Mapping[str, int], sign: int) -> None:
    for source, n in by_source.items():
        counts[source] = counts.get(source, 0) + sign * n
