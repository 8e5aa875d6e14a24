"""What a search needs of PostgreSQL: statements that all see the same state."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from query_api.statement import Statement

Row = Mapping[str, Any]


class Snapshot(Protocol):
    """Runs statements that all see the same state."""

    async def fetch(self, statement: Statement) -> Sequence[Row]: ...


class StreamingSnapshot(Snapshot, Protocol):
    """One that also gives rows a few at a time, where all of them would need too much memory."""

    def portions(self, statement: Statement, rows: int) -> AsyncGenerator[Sequence[Row]]:
        """The rows of a statement, so many at a time."""
        ...
