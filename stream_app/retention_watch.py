"""How a worker learns that retention removed events: Redis is emptied of them, and the figures show it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

from stream_app.figures import StreamFigures
from stream_app.partitions import EXISTING
from stream_app.retention import expired_days

# Of an older one the worker before this one knew.
_DROPS: Final = """
SELECT max(id) FILTER (WHERE dropped_at > clock_timestamp() - interval '1 day') AS newest,
       coalesce(sum(events), 0)::bigint AS events
FROM retention_drops"""


class Store(Protocol):
    """What is needed of the store. Raises StoreUnavailableError."""

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]: ...


class Mirror(Protocol):
    """Redis, which may hold what PostgreSQL does not any more."""

    def mark_set_back(self) -> None: ...


class RetentionWatch:
    """Every worker looks for itself: each may have told Redis of events of a day while it was dropped."""

    def __init__(
        self, store: Store, mirror: Mirror, figures: StreamFigures, retention_days: int, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._mirror = mirror
        self._figures = figures
        self._retention_days = retention_days
        self._now = now
        self._seen: int | None = None

    async def look(self) -> None:
        """Raises StoreUnavailableError."""
        (drops,) = await self._store.fetch(_DROPS)
        if drops["newest"] not in (None, self._seen):
            self._seen = drops["newest"]
            self._mirror.mark_set_back()
        existing = [row["relname"] for row in await self._store.fetch(EXISTING)]
        self._figures.retention_dropped.set(drops["events"])
        self._figures.retention_overdue.set(len(expired_days(existing, self._retention_days, self._now())))
