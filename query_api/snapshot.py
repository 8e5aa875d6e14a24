"""What a search needs of PostgreSQL: statements that all see the same state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from query_api.statement import Statement

Row = Mapping[str, Any]


class Snapshot(Protocol):
    """Runs statements that all see the same state."""

    async def fetch(self, statement: Statement) -> Sequence[Row]: ...
