"""Divides a range into the stretches whose counts by source can be remembered, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingest_gateway.contract import EPOCH
from query_api.timeline import MINUTE, Level, Piece, Window

FIVE_MINUTES = 5
HOUR_MINUTES = 60
DAY_MINUTES = 24 * HOUR_MINUTES


class Stretch(NamedTuple):
    """Five minutes, an hour or a day, in minutes since 1970: `first <= minute < end`."""

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

    def parts(self, minutes: int) -> Iterator[Stretch]:
        """It, in stretches of so many minutes."""
        return (Stretch(first, first + minutes) for first in range(self.first, self.end, minutes))


@dataclass(frozen=True, slots=True)
class DividedRange:
    """The whole hours of a range; at its edges stretches of whole fives of minutes, added or taken off; and the pieces
    of minutes and rows that are left.
    """

    hours: Stretch
    edges: Sequence[tuple[Stretch, bool]]
    rest: Sequence[Piece]

    def days(self) -> Iterator[tuple[Stretch, bool]]:
        """The days of its hours, and whether they are in it whole."""
        first = self.hours.first - self.hours.first % DAY_MINUTES
        for day in Stretch(first, self.hours.end).parts(DAY_MINUTES):
            inside = Stretch(max(day.first, self.hours.first), min(day.end, self.hours.end))
            yield inside, inside == day

    def fives(self) -> Iterator[tuple[Stretch, bool]]:
        """Each of its fives of minutes, and whether it is added."""
        return ((five, is_added) for edge, is_added in self.edges for five in edge.parts(FIVE_MINUTES))

    def windows(self) -> Sequence[Window]:
        """The times of its edges."""
        pieces = [edge.piece() for edge, _ in self.edges]
        return [Window(piece.start, piece.end) for piece in pieces]


def divided(cut: Sequence[Piece]) -> DividedRange | None:
    """The range of these pieces; None where it has no whole hour."""
    hours = next((piece for piece in cut if piece.level is Level.HOURS and piece.start < piece.end), None)
    if hours is None:
        return None
    edges: list[tuple[Stretch, bool]] = []
    rest: list[Piece] = []
    for piece in cut:
        if piece.level is Level.ROWS:
            rest.append(piece)
        elif piece.level is Level.MINUTES:
            minutes = _stretch(piece)
            first = minutes.first + -minutes.first % FIVE_MINUTES
            inner = Stretch(first, max(minutes.end - minutes.end % FIVE_MINUTES, first))
            if inner.minutes:
                edges.append((inner, piece.is_added))
                around = Stretch(minutes.first, inner.first), Stretch(inner.end, minutes.end)
            else:
                around = minutes, Stretch(minutes.end, minutes.end)
            rest += [replace(part.piece(), is_added=piece.is_added) for part in around if part.minutes]
    return DividedRange(_stretch(hours), edges, rest)


def merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Those that follow on each other as one."""
    joined: list[Stretch] = []
    for stretch in stretches:
        follows = bool(joined) and joined[-1].end == stretch.first
        joined.append(Stretch(joined.pop().first, stretch.end) if follows else stretch)
    return joined


def _stretch(piece: Piece) -> Stretch:
    return Stretch((piece.start - EPOCH) // MINUTE, (piece.end - EPOCH) // MINUTE)
