"""What the store needs and says about one window, and the errors that decide what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream_app.fence import Fenced
from stream_app.prepare import Cell, Prepared, Row


@dataclass(frozen=True, slots=True)
class Loss:
    """Offsets [start, end) that Kafka no longer had before they were stored."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """What one transaction writes, and the offsets it was cut for."""

    fenced: Fenced
    prepared: Prepared
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What became true with the commit. `rows` leaves duplicates out; counts are absolute, after this window."""

    rows: Sequence[Row]
    duplicates: int
    dead_letters: int
    minute_counts: Mapping[Cell, int]
    total_counts: Mapping[tuple[int, str], int]


class StoreUnavailableError(Exception):
    """PostgreSQL cannot do it now; the same call will succeed once it is back. Nothing is known of an open commit."""

    trouble = "PostgreSQL is away"


class StoreBusyError(StoreUnavailableError):
    """PostgreSQL is there, but others hold what the call needs: a lock, or its time ran out."""

    trouble = "PostgreSQL is busy"


class OffsetsMovedError(Exception):
    """The stored offsets are not those the window was cut for; nothing was written. `stored` holds the true ones."""

    def __init__(self, stored: Mapping[int, int]) -> None:
        super().__init__(f"stored offsets are {dict(stored)}")
        self.stored = stored
