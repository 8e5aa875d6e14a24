"""Counts by source as vectors: sources by number, added up without looking at each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """How many events each of some sources has; a source may be there more than once."""

    sources: Numbers
    counts: Counts


class SourceNames:
    """Numbers sources as they are met, from 0."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def cells(self, sources: Sequence[str] | None, counts: Sequence[int] | None) -> Cells:
        """Of an answer of PostgreSQL, which says None where there is none."""
        known = self._numbers
        for source in sources or ():
            if source not in known:
                known[source] = len(self._names)
                self._names.append(source)
        return Cells(np.array([known[source] for source in sources or ()], np.intp), np.array(counts or (), np.int64))

    def total(self, start: Counts, cells: Iterable[tuple[Cells, int]]) -> Counts:
        """Added to `start`, which may be shorter: each of the cells with its sign."""
        total = np.zeros(len(self._names), np.int64)
        total[: len(start)] = start
        for each, sign in cells:
            np.add.at(total, each.sources, sign * each.counts)
        return total

    def named(self, total: Counts) -> SourceTotals:
        """With their names."""
        return SourceTotals(self._names, total)


@dataclass(frozen=True, slots=True, eq=False)
class SourceTotals:
    """How many events each source has; those with none are not there."""

    names: Sequence[str]
    counts: Counts

    @property
    def sources(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.counts > 0))

    @property
    def events(self) -> int:
        """Of all of them."""
        return int(self.counts[self.counts > 0].sum())

    def largest(self, most: int) -> list[tuple[str, int]]:
        """The largest first, those of the same size by name."""
        counts = self.counts
        least = 1
        if most < len(counts):
            least = max(int(np.partition(counts, -most)[-most]), 1)
        found = [(self.names[number], int(counts[number])) for number in np.flatnonzero(counts >= least).tolist()]
        return sorted(found, key=lambda one: (-one[1], one[0]))[:most]
