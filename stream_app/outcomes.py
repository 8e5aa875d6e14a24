"""What the store needs and says about one window, and the errors that decide what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stream_app.fence import Fenced
from stream_app.prepare import Cell, Prepared, Row

# Fewer bad records say nothing of a sender: one alone is all of a quiet window.
FEWEST_MOSTLY_BAD: Final = 10


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

    @property
    def mostly_bad(self) -> bool:
        """Whether at least half went to dead letters, and many: somebody upstream deployed something broken."""
        return self.dead_letters >= max(FEWEST_MOSTLY_BAD, len(self.rows) + self.duplicates)


class UnavailableError(Exception):
    """Something cannot do it now; the same call will succeed once it is back."""

    # Its name, the label in metrics, and what is wrong.
    dependency = label = trouble = ""


class StoreUnavailableError(UnavailableError):
    """PostgreSQL is away. Nothing is known of an open commit."""

    dependency, label, trouble = "PostgreSQL", "postgres", "PostgreSQL is away"


class LogUnavailableError(UnavailableError):
    """Kafka is away."""

    dependency, label, trouble = "Kafka", "kafka", "Kafka is away"


class StoreBusyError(StoreUnavailableError):
    """PostgreSQL is there, but others hold what the call needs: a lock, or its time ran out."""

    trouble = "PostgreSQL is busy"


class ConfigurationFaultError(Exception):
    """A setting, ours or a server's, that must be put right by hand: trying again is of no use."""


class OffsetsMovedError(Exception):
    """The stored offsets are not those the window was cut for; nothing was written. `stored` holds the true ones."""

    def __init__(self, stored: Mapping[int, int]) -> None:
        super().__init__(f"stored offsets are {dict(stored)}")
        self.stored = stored
