"""Remembers how many events each source had in past days and hours, while the database proves that it still has."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Final, NamedTuple

from ingest_gateway.contract import EPOCH
from query_api import source_sql
from query_api.filter_language.expressions import EVERYTHING
from query_api.search import SearchFilter
from query_api.snapshot import Row, Snapshot
from query_api.timeline import HOUR, Level, Piece

_DAY_HOURS: Final = 24
# Longer ranges are counted by PostgreSQL alone.
MOST_HOURS: Final = 400 * _DAY_HOURS
# Severities of sources. Above, bringing them all here takes longer than having PostgreSQL add them up.
_MOST_CELLS: Final = 200_000
# Counts that are kept, of about 100 bytes each.
MOST_COUNTS: Final = 400_000
_MOST_SEEN: Final = 2 * MOST_HOURS
# After this long no answer takes it on itself to remember more for those after it.
_LEARN_S: Final = 0.02


class Stretch(NamedTuple):
    """An hour, a day or more, in hours since 1970: `first <= hour < end`."""

    first: int
    end: int

    def piece(self) -> Piece:
        """It, as a piece of a range."""
        return Piece(Level.HOURS, EPOCH + self.first * HOUR, EPOCH + self.end * HOUR)


class Proof(NamedTuple):
    """Where it is the same, so are the counts of the stretch: while `drops` and `started_us` are, counts only grow."""

    events: int
    drops: int
    started_us: int


@dataclass(frozen=True, slots=True)
class _Kept:
    proof: Proof
    by_source: Mapping[str, int]


class SourceMemory:
    """Of days and hours that were the same at two looks. Everything else PostgreSQL adds up, in the snapshot of the
    proofs: so what is answered is as exact as without memory, also where events come late for a day long over.
    """

    def __init__(self, now_s: Callable[[], float], most_counts: int = MOST_COUNTS) -> None:
        self._now_s = now_s
        self._most_counts = most_counts
        self._kept: OrderedDict[tuple[Stretch, tuple[int, ...]], _Kept] = OrderedDict()
        self._kept_counts = 0
        self._seen: OrderedDict[Stretch, Proof] = OrderedDict()

    async def by_source(
        self, snapshot: Snapshot, wanted: SearchFilter, cut: Sequence[Piece], topic: str
    ) -> tuple[dict[str, int], Row] | None:
        """How many wanted events each source has in all pieces of a range, and a row with how far all is stored.

        None where PostgreSQL should add up everything.

        1. The hours of the range with their proofs, as days where a day was the same at the last look.
        2. What is remembered with the same proof.
        3. What was seen before with the same proof is remembered from now on, as much as there is time for.
        4. All the rest, with the minutes and rows at the edges.
        """
        hours = next((piece for piece in cut if piece.level is Level.HOURS), None)
        if hours is None or (hours.end - hours.start) / HOUR > MOST_HOURS:
            return None
        if wanted.source is not None or wanted.expression != EVERYTHING:
            return None
        (state,) = await snapshot.fetch(source_sql.hours_now(hours, topic))
        if state["cells"] > _MOST_CELLS:
            return None
        known: dict[Stretch, Mapping[str, int]] = {}
        rest: dict[Stretch, tuple[Proof, bool]] = {}
        for stretch, proof, is_steady in self._stretches(hours, state):  # 1
            kept = self._recalled(stretch, proof, wanted.severities)  # 2
            if kept is None:
                rest[stretch] = proof, is_steady
            else:
                known[stretch] = kept
        steady = {stretch: proof for stretch, (proof, is_steady) in rest.items() if is_steady}
        known |= await self._learned(snapshot, wanted, steady)  # 3
        counts: Counter[str] = Counter()
        for by_source in known.values():
            counts.update(by_source)
        pieces = [stretch.piece() for stretch in _merged([stretch for stretch in rest if stretch not in known])]
        pieces += [piece for piece in cut if piece.level is not Level.HOURS]
        if pieces:
            found = await snapshot.fetch(source_sql.by_source(wanted, pieces))  # 4
            counts.update({row["source"]: row["n"] for row in found})
        return {source: n for source, n in counts.items() if n > 0}, state

    def _stretches(self, hours: Piece, state: Row) -> Iterator[tuple[Stretch, Proof, bool]]:
        """In order; whether it was the same before. Hours without events are in none."""
        days: dict[int, list[tuple[int, int]]] = {}
        for hour, n in zip(state["hours"] or (), state["counts"] or (), strict=True):
            days.setdefault(hour // _DAY_HOURS, []).append((hour, n))
        for number, of_day in days.items():
            day = Stretch(number * _DAY_HOURS, (number + 1) * _DAY_HOURS)
            whole = day.piece()
            proof = Proof(sum(n for _, n in of_day), state["drops"], state["started_us"])
            if hours.start <= whole.start and whole.end <= hours.end and self._was_same(day, proof):
                yield day, proof, True
                continue
            for hour, n in of_day:
                stretch, proof = Stretch(hour, hour + 1), Proof(n, state["drops"], state["started_us"])
                yield stretch, proof, self._was_same(stretch, proof)

    def _was_same(self, stretch: Stretch, proof: Proof) -> bool:
        before = self._seen.get(stretch)
        self._seen[stretch] = proof
        self._seen.move_to_end(stretch)
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return before == proof

    def _recalled(self, stretch: Stretch, proof: Proof, severities: tuple[int, ...]) -> Mapping[str, int] | None:
        key = stretch, severities
        kept = self._kept.get(key)
        if kept is None or kept.proof != proof:
            return None
        self._kept.move_to_end(key)
        return kept.by_source

    async def _learned(
        self, snapshot: Snapshot, wanted: SearchFilter, stretches: Mapping[Stretch, Proof]
    ) -> dict[Stretch, Mapping[str, int]]:
        """One of these at least, days first, and more while there is time. No hour takes the place of a day."""
        until_s = self._now_s() + _LEARN_S
        learned: dict[Stretch, Mapping[str, int]] = {}
        for stretch in sorted(stretches, key=lambda stretch: stretch.first - stretch.end):
            is_hour = stretch.end - stretch.first == 1
            if (learned and self._now_s() >= until_s) or (is_hour and self._kept_counts > self._most_counts // 2):
                break
            rows = await snapshot.fetch(source_sql.by_source(wanted, [stretch.piece()]))
            # One text for a source in all stretches.
            learned[stretch] = {intern(row["source"]): row["n"] for row in rows}
            self._keep(stretch, wanted.severities, _Kept(stretches[stretch], learned[stretch]))
        return learned

    def _keep(self, stretch: Stretch, severities: tuple[int, ...], kept: _Kept) -> None:
        self._forget(stretch, severities)
        self._kept[stretch, severities] = kept
        self._kept_counts += len(kept.by_source)
        while self._kept_counts > self._most_counts:
            self._forget(*next(iter(self._kept)))

    def _forget(self, stretch: Stretch, severities: tuple[int, ...]) -> None:
        gone = self._kept.pop((stretch, severities), None)
        self._kept_counts -= len(gone.by_source) if gone is not None else 0


def _merged(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Those that follow on each other as one."""
    merged: list[Stretch] = []
    for stretch in stretches:
        follows = bool(merged) and merged[-1].end == stretch.first
        merged.append(Stretch(merged.pop().first, stretch.end) if follows else stretch)
    return merged
