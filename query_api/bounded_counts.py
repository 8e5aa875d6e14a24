"""Counts of texts in bounded memory: the frequent ones are kept, and it is known by how much a count may be too low.

As in lossy counting (Manku and Motwani, VLDB 2002), what is rare is forgotten from time to time. A value can have lost
no more each time than the largest count that was forgotten then.
"""

from __future__ import annotations

from statistics import median_low
from typing import Final

# Of one answer, for all its fields together.
MOST_CHARS: Final = 16_000_000
# What a value costs besides its characters.
_VALUE_CHARS: Final = 100
# A longer value is counted and not kept: no filter could ask for it.
MOST_VALUE_CHARS: Final = 1_000


class BoundedCounts:
    """How often each text was met, as far as there is room; `total` counts every one of them."""

    def __init__(self, most_chars: int = MOST_CHARS) -> None:
        self._most_chars = most_chars
        self._counts: dict[str, int] = {}
        self._chars = 0
        self.total = 0
        self.kept = 0
        self.undercount_at_most = 0
        self._distinct_before = 0

    @property
    def distinct_at_least(self) -> int:
        """How many different values there were, as far as they were kept at one time."""
        return max(self._distinct_before, len(self._counts))

    @property
    def is_exact(self) -> bool:
        """Whether every value is kept with all of its count."""
        return self.kept == self.total

    @property
    def forgotten(self) -> int:
        """How many of `total` are in none of the counts."""
        return self.total - self.kept

    def add(self, value: str, n: int = 1) -> None:
        """Counts the value n times more."""
        self.total += n
        known = self._counts.get(value)
        if known is not None:
            self._counts[value] = known + n
        elif len(value) > MOST_VALUE_CHARS:
            return
        else:
            self._counts[value] = n
            self._chars += len(value) + _VALUE_CHARS
        self.kept += n
        if self._chars > self._most_chars:
            self._forget_rare()

    def forget(self, n: int, at_most_each: int = 0) -> None:
        """Notes that n more were met whose values are not known, of none more than so many."""
        self.total += n
        self.undercount_at_most += at_most_each

    def largest(self, most: int) -> list[tuple[str, int]]:
        """The most frequent values, largest first."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:most]

    def _forget_rare(self) -> None:
        """Forgets about half: what was met least."""
        self._distinct_before = self.distinct_at_least
        threshold = median_low(self._counts.values())
        kept: dict[str, int] = {}
        self._chars, self.kept = 0, 0
        room = self._most_chars // 2
        for value, n in self._counts.items():
            size = len(value) + _VALUE_CHARS
            # Those at the threshold, which may be all, only while there is room.
            if n > threshold or (n == threshold and self._chars + size <= room):
                kept[value] = n
                self._chars += size
                self.kept += n
        self._counts = kept
        self.undercount_at_most += threshold
