"""Compares counts with the account: of each source in each slice of time, and then id by id where that is due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from loadgen.encode import Templates
from loadgen.id_check import IdCheck
from loadgen.ledger import Account, Span
from loadgen.outcome import Fate
from loadgen.patient_reader import PatientReader
from loadgen.query_client import TimeRange
from loadgen.verdict import Verdict

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60_000
# A longer run is counted by the minute: then there are as many questions as it has minutes, each quickly answered.
_LONGEST_BY_SECOND_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Cell:
    """The events of one source in one slice of time: `counted` are stored, `least` to `most` should be."""

    slice_number: int
    source: str
    counted: int
    least: int
    most: int

    @property
    def agrees(self) -> bool:
        return self.off_by(self.counted) == 0

    def off_by(self, count: int) -> int:
        """By how many events a count is too low or too high."""
        return max(self.least - count, count - self.most, 0)


@dataclass(frozen=True, slots=True)
class CellPolicy:
    """How much is compared id by id besides the counts.

    At most about `doubtful_events` in cells that do not agree (of the others only the difference is known), and at
    least `sample_events`, where there are so many, in cells picked at random from those that do.
    """

    doubtful_events: int = 200_000
    sample_events: int = 20_000
    late_grace_s: float = 5.0


class CellCheck:
    """Needs sources that no other run uses."""

    def __init__(
        self, account: Account, templates: Templates, reader: PatientReader, ids: IdCheck, verdict: Verdict
    ) -> None:
        self._account: Final = account
        self._templates: Final = templates
        self._reader: Final = reader
        self._ids: Final = ids
        self._verdict: Final = verdict
        first_ms, last_ms = account.time_range_ms()
        self._slice_ms: Final = SECOND_MS if last_ms - first_ms <= _LONGEST_BY_SECOND_MS else MINUTE_MS
        self._slices: Final[Mapping[Fate, Mapping[int, Sequence[Span]]]] = {
            fate: account.slices(fate, self._slice_ms) for fate in Fate
        }

    async def compare(self, policy: CellPolicy, rng: Random) -> None:
        """Counts every cell; compares those that do not agree, and some that do, id by id."""
        verdict = self._verdict
        verdict.cell_s = self._slice_ms // 1000
        cells = [
            cell
            for number in sorted({number for slices in self._slices.values() for number in slices})
            for cell in await self._count(number)
        ]
        verdict.cells = len(cells)
        verdict.stored = sum(cell.counted for cell in cells)
        verdict.unknown_stored = sum(max(min(cell.counted, cell.most) - cell.least, 0) for cell in cells)
        await self._settle_doubtful([cell for cell in cells if not cell.agrees], policy)
        agreeing = [cell for cell in cells if cell.agrees and cell.counted]
        rng.shuffle(agreeing)
        compared = 0
        for cell in agreeing:
            if compared >= policy.sample_events:
                break
            compared += cell.counted
            verdict.cells_by_id += 1
            await self._compare_ids(cell, policy.late_grace_s)

    async def _count(self, number: int) -> list[Cell]:
        within = self._within(number)
        counts = await self._reader.counts(within)
        cells = []
        for source in self._templates.sources:
            acked, unknown = (
                self._templates.count_of(source, self._slices[fate].get(number, ()))
                for fate in (Fate.ACKED, Fate.UNKNOWN)
            )
            counted = counts.by_source.get(source, 0)
            if source not in counts.by_source and counts.other.sources:
                counted = (await self._reader.page(within, source, 1)).total
            cells.append(Cell(number, source, counted, acked, acked + unknown))
        return cells

    async def _settle_doubtful(self, cells: Sequence[Cell], policy: CellPolicy) -> None:
        """Finds out which events make the difference, or notes that there is one."""
        verdict, budget = self._verdict, policy.doubtful_events
        for cell in cells:
            if budget <= 0:
                verdict.missing.add(None, max(cell.least - cell.counted, 0))
                verdict.twice.add(None, max(cell.counted - cell.most, 0))
                continue
            budget -= max(cell.counted, cell.least)
            named = verdict.named_faults
            verdict.cells_by_id += 1
            total = await self._compare_ids(cell, policy.late_grace_s)
            if verdict.named_faults > named:
                continue
            # Nothing is wrong with any event: the count was early, or it is wrong.
            if cell.counted < cell.least and cell.off_by(total) == 0:
                verdict.found_late.add(None, cell.least - cell.counted)
            else:
                verdict.miscounted.add(None, max(cell.off_by(cell.counted), cell.off_by(total)))

    async def _compare_ids(self, cell: Cell, late_grace_s: float) -> int:
        def numbers_of(fate: Fate) -> Iterable[int]:
            return self._templates.numbers_of(cell.source, self._slices[fate].get(cell.slice_number, ()))

        return await self._ids.compare(self._within(cell.slice_number), cell.source, numbers_of, late_grace_s)

    def _within(self, slice_number: int) -> TimeRange:
        first_ms = slice_number * self._slice_ms
        return TimeRange(first_ms, first_ms + self._slice_ms - 1)
