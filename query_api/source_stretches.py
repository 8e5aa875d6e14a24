"""Divides a range into the stretches whose counts by source can be remembered, and the rows that are left."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingest_gateway.contract import EPOCH
from query_api.timeline import MINUTE, Level, Piece

FIVE_MINUTES = 5
HOUR_MINUTES = 60
DAY_MINUTES = 24 * HOUR_MINUTES


class Stretch(NamedTuple):
    """A minute, five of them, an hour or a day, in minutes since 1970: `first <= minute < end`."""

    first: int
    end: int

    @property
    def minutes(self) -> int:
        """How long it is."""
        return self.end - self.first

    @property
    def level(self) -> Level:
        """Where its counts are."""
        return Level.MINUTES if self.minutes < HOUR_MINUTES else Level.HOURS

    def piece(self) -> Piece:
        """It, as a piece of a range."""
        return Piece(self.level, EPOCH + self.first * MINUTE, EPOCH + self.end * MINUTE)

    def around(self, minutes: int) -> Stretch:
        """The stretch of so many minutes that it is in."""
        first = self.first - self.first % minutes
        return Stretch(first, first + minutes)

    def parts(self, minutes: int) -> Iterator[Stretch]:
        """It, in stretches of so many minutes."""
        return (Stretch(first, first + minutes) for first in range(self.first, self.end, minutes))


@dataclass(frozen=True, slots=True)
class DividedRange:
    """The whole hours of a range; at its edges minutes and fives of them, added or taken off; and pieces of rows."""

    hours: Stretch
    edges: Mapping[Stretch, bool]
    rows: Sequence[Piece]

    def days(self) -> Iterator[tuple[Stretch, bool]]:
        """The days of its hours, and whether they are in it whole."""
        first = self.hours.first - self.hours.first % DAY_MINUTES
        for day in Stretch(first, self.hours.end).parts(DAY_MINUTES):
            inside = Stretch(max(day.first, self.hours.first), min(day.end, self.hours.end))
            yield inside, inside == day

    def unknown(self, known: Container[Stretch]) -> list[Stretch]:
        """Its hours and its stretches of minutes, but for those that are known, also as days."""
        hours = [hour for day, _ in self.days() if day not in known for hour in day.parts(HOUR_MINUTES)]
        return [stretch for stretch in (*hours, *self.edges) if stretch not in known]

    def pieces(self, unknown: Iterable[Stretch]) -> list[Piece]:
        """These stretches of it, as few pieces, and those of rows."""
        signs = {True: list[Stretch](), False: list[Stretch]()}
        for stretch in unknown:
            signs[self.edges.get(stretch, True)].append(stretch)
        cut = [
            replace(joined.piece(), is_added=is_added)
            for is_added, of_sign in signs.items()
            for joined in together(dict.fromkeys(of_sign, 0))
        ]
        return [*cut, *self.rows]


def divided(cut: Sequence[Piece]) -> DividedRange | None:
    """The range of these pieces; None where it has no whole hour."""
    hours = next((piece for piece in cut if piece.level is Level.HOURS and piece.start < piece.end), None)
    if hours is None:
        return None
    edges = {
        stretch: piece.is_added
        for piece in cut
        if piece.level is Level.MINUTES
        for stretch in _minutes(_stretch(piece))
    }
    return DividedRange(_stretch(hours), edges, [piece for piece in cut if piece.level is Level.ROWS])


def _minutes(edge: Stretch) -> Iterator[Stretch]:
    """Its whole fives of minutes, and the single ones around them."""
    first = edge.first
    while first < edge.end:
        length = FIVE_MINUTES if first % FIVE_MINUTES == 0 and first + FIVE_MINUTES <= edge.end else 1
        yield Stretch(first, first + length)
        first += length


def together(numbers: Mapping[Stretch, int]) -> dict[Stretch, int]:
    """Those that follow on each other as one, with the sum of their numbers. An edge is shorter than an hour, so
    minutes stay what is counted by minutes.
    """
    joined: dict[Stretch, int] = {}
    last: Stretch | None = None
    for stretch, n in numbers.items():
        before = 0
        if last is not None and last.end == stretch.first and last.level is stretch.level:
            before = joined.pop(last)
            last = Stretch(last.first, stretch.end)
        else:
            last = stretch
        joined[last] = before + n
    return joined


def _stretch(piece: Piece) -> Stretch:
    return Stretch((piece.start - EPOCH) // MINUTE, (piece.end - EPOCH) // MINUTE)
