"""What the pipeline needs of PostgreSQL, Redis and Kafka, and how it is set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingest_gateway.contract import EventLimits
from stream_app.chunks import BufferedEvents
from stream_app.outcomes import Loss, Stored, Window
from stream_app.prepare import Row
from stream_app.retry import Backoff
from stream_app.word_filter import WordFilter


class Store(Protocol):
    """What the pipeline needs of PostgreSQL."""

    async def positions(self, beginnings: Mapping[int, int]) -> Mapping[int, int]: ...
    async def write(self, window: Window) -> Stored: ...


class Days(Protocol):
    """What the pipeline needs of the table's day partitions."""

    async def ensure(self, days: set[int]) -> None:
        """Makes the partitions of these days (since 1970) that may have one, or puts them off.

        Raises StoreUnavailableError.
        """
        ...


class Mirror(Protocol):
    """What the pipeline needs of Redis. Never raises: Redis costs speed only."""

    async def apply(self, stored: Stored, until_ms: Mapping[int, int], *, more_waits: bool) -> bool:
        """Whether Redis was told all so far, or will be by a later call; `more_waits`: another window follows."""
        ...

    async def tell(self) -> None:
        """Tells what was put off."""
        ...

    def mark_stale(self) -> None:
        """Something was stored that Redis was not told of; it is to be rebuilt from PostgreSQL."""
        ...

    def mark_set_back(self) -> None:
        """PostgreSQL no longer has what Redis was told of; it is to be emptied and rebuilt."""
        ...


class Log(Protocol):
    """What the pipeline needs of Kafka besides the chunks. Raises LogUnavailableError."""

    async def log_start(self, partition: int) -> int:
        """The first offset that the partition still has."""
        ...

    async def seek(self, partition: int, offset: int) -> None: ...
    def settled(self) -> bool:
        """Whether no rebalance is under way; one ends with a seek of each partition."""
        ...

    def pause(self, partition: int) -> None:
        """No record of it is handed over any more."""
        ...

    def resume(self, partition: int) -> None:
        """They are again, if it is still ours."""
        ...

    def passed(self) -> Mapping[int, tuple[int, int]]:
        """Partition -> offsets [start, end) that were read past since the last chunk: no record of ours is there."""
        ...


class Lives(Protocol):
    """Where it is noted that a worker begins on partitions, and that it ended well. Raises nothing for an outage."""

    async def begin(self, partitions: Collection[int]) -> None:
        """From now on these are stored here; with less at once, where workers before this one died early."""
        ...

    async def end(self) -> None:
        """What comes next is no death."""
        ...


class Figures(Protocol):
    """Where the pipeline counts."""

    def window_stored(self, stored: Stored, window: Window) -> None: ...
    def retried(self, dependency: str) -> None: ...
    def lost(self, losses: Sequence[Loss]) -> None: ...
    def stopped(self, partitions: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """How windows are cut and retried."""

    topic: str
    batch_size: int
    batch_timeout_s: float
    limits: EventLimits
    backoff: Backoff = field(default_factory=Backoff)
    # What Redis is told of several windows together is told, and they are acknowledged, after this long at the latest.
    tell_within_s: float = 1.0
    # So many dead letters in a row stop a partition for a while; 0: none do.
    dead_letter_limit: int = 0
    # Makes the word filters of a window's rows; None: none are made.
    word_filters: Callable[[Sequence[Row]], Awaitable[Sequence[WordFilter]]] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a window passes through."""

    store: Store
    days: Days
    mirror: Mirror
    kafka: Log
    lives: Lives
    figures: Figures
    buffered: BufferedEvents
