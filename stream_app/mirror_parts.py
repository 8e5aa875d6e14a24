"""What the mirror in Redis is filled from, and where it counts its troubles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# Severity (None: all) -> the events of its recent list, newest first: (member, time in microseconds).
Recent = Mapping[int | None, Sequence[tuple[bytes, int]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that Redis holds, as PostgreSQL has it. Members are as `recent_event` makes them."""

    minute_counts: Mapping[int, Mapping[str, int]]
    total_counts: Mapping[str, int]
    recent: Recent
    stored_until_us: Mapping[int, int]


class SnapshotSource(Protocol):
    """Reads a Snapshot from PostgreSQL. Raises StoreUnavailableError."""

    async def snapshot(self, now_s: float) -> Snapshot: ...


class MirrorFigures(Protocol):
    """Where trouble with Redis is counted."""

    def retried(self, dependency: str) -> None: ...
    def rebuilt(self) -> None: ...
