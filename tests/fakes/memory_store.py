"""A store in memory with the rules of the tables: what the pipeline's tests stand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stream_app.dead_letter import DeadLetter
from stream_app.outcomes import Loss, OffsetsMovedError, Stored, StoreUnavailableError, Window
from stream_app.prepare import Cell, Row, cells_of


@dataclass
class MemoryStore:
    """Keeps each window whole or not at all. `troubles` are raised, one for each call, before anything is written."""

    logs: dict[tuple[int, bytes], Row] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    dead_letters: dict[tuple[int, int], DeadLetter] = field(default_factory=dict)
    gaps: list[Loss] = field(default_factory=list)
    minutes: Counter[Cell] = field(default_factory=Counter)
    totals: Counter[tuple[int, str]] = field(default_factory=Counter)
    troubles: list[Exception] = field(default_factory=list)
    # Raised after the commit: an answer that was lost on its way.
    lost_answers: list[StoreUnavailableError] = field(default_factory=list)
    refuses: Callable[[Row], bool] = lambda _: False
    writes: int = 0

    async def positions(self, beginnings: Mapping[int, int]) -> Mapping[int, int]:
        """The stored offsets; a new partition starts at its beginning."""
        self._trouble()
        for partition, offset in beginnings.items():
            self.offsets.setdefault(partition, offset)
        return {partition: self.offsets[partition] for partition in beginnings}

    async def write(self, window: Window) -> Stored:
        """Stores one window."""
        self.writes += 1
        self._trouble()
        starts = window.fenced.starts
        stored = {partition: self.offsets[partition] for partition in starts if partition in self.offsets}
        if stored != dict(starts):
            raise OffsetsMovedError(stored)
        refused = [row for row in window.prepared.rows if self.refuses(row)]
        inserted = []
        for row in sorted(window.prepared.rows, key=lambda row: row.arrival):
            if row not in refused and (row.ts_us, row.id) not in self.logs:
                self.logs[row.ts_us, row.id] = row
                inserted.append(row)
        letters = [*window.prepared.dead_letters, *(row.as_dead_letter() for row in refused)]
        for letter in letters:
            self.dead_letters.setdefault((letter.partition, letter.offset), letter)
        self.gaps += window.losses
        self.offsets.update(window.fenced.next_offsets)
        cells = cells_of(inserted)
        self.minutes.update(cells)
        totals: Counter[tuple[int, str]] = Counter()
        for cell, count in cells.items():
            totals[cell.severity, cell.source] += count
        self.totals.update(totals)
        duplicates = len(window.prepared.rows) - len(inserted) - len(refused)
        answer = Stored(
            inserted,
            duplicates,
            len(letters),
            {cell: self.minutes[cell] for cell in cells},
            {key: self.totals[key] for key in totals},
        )
        if self.lost_answers:
            raise self.lost_answers.pop(0)
        return answer

    def _trouble(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
