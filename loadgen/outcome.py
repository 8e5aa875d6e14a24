"""What became of what was sent: the values that senders, driver, report, probe and ledger exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from loadgen.encode import EventRange


class Fate(Enum):
    """What is known about events after an attempt, or after the last one."""

    ACKED = "acknowledged"  # The target said that it has them.
    REFUSED = "refused"  # It said that it never will.
    NOT_TAKEN = "not taken"  # It does not have them; it may take them later.
    UNKNOWN = "unknown"  # It may have them: a time-out, a lost connection, a server's error.


@dataclass(frozen=True, slots=True)
class Attempt:
    """The answer to one send. `code` is an HTTP status with its problem code, or the kind of failure.

    `retry` says whether the same bytes may be sent again; `rejected` lists the places within the range that were
    refused although the rest was acknowledged.
    """

    fate: Fate
    code: str
    retry: bool = False
    retry_after_s: float | None = None
    rejected: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one request's story. Times are the driver's monotonic seconds; `acked_unix_us` is wall-clock time."""

    events: EventRange
    fate: Fate
    code: str
    intended_s: float
    started_s: float
    finished_s: float
    acked_unix_us: int = 0
    attempts: tuple[str, ...] = field(default=())
    rejected: tuple[tuple[int, str], ...] = ()

    @property
    def latency_s(self) -> float:
        """From when the request should have been sent to its last answer, retries and waits included."""
        return self.finished_s - self.intended_s


class Sender(Protocol):
    """A target. `pack` is called once for a request, `attempt` with its result for each try: always the same bytes."""

    async def open(self) -> None:
        """Connects. Raises TargetUnreachableError with words for the user."""

    def pack(self, values: Sequence[bytes]) -> Sequence[bytes]: ...

    async def attempt(self, packed: Sequence[bytes]) -> Attempt:
        """Sends once. Never raises for what the target or the network did."""

    async def close(self) -> None:
        """Ends within a few seconds, whatever the target does."""


class OutcomeRecorder(Protocol):
    """Whoever keeps account: the report, the freshness probe, the ledger."""

    def issued(self, events: EventRange) -> None:
        """Called before the first byte of `events` is sent."""

    def finished(self, outcome: Outcome) -> None:
        """Called once for each `issued`."""


class TargetUnreachableError(Exception):
    """The target cannot be used at all; the text names it and what was wrong."""
