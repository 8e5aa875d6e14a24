"""Remembers for which days PostgreSQL has an index by source: closed ones have, the one being filled has not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from query_api import sql
from query_api.snapshot import Snapshot
from query_api.timeline import Window

# A new index is used this much later; nothing depends on it but speed.
KEPT_S: Final = 60.0


class SourceIndexed:
    """Asked of the catalog once a minute."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._asked_s: float | None = None
        self._windows: Sequence[Window] = ()

    async def windows(self, snapshot: Snapshot) -> Sequence[Window]:
        """The times of partitions with such an index."""
        now_s = self._now_s()
        if self._asked_s is None or now_s - self._asked_s > KEPT_S:
            self._windows = [Window(row["a"], row["z"]) for row in await snapshot.fetch(sql.SOURCE_INDEXED)]
            self._asked_s = now_s
        return self._windows
