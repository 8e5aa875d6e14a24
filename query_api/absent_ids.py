"""Remembers for two seconds which ids were searched for in vain, and which are searched for now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from query_api.positions import StoredUntil
from query_api.reading import LoggedEvent
from query_api.single_flight import SingleFlight

KEPT_S: Final = 2.0
_MOST: Final = 10_000


class AbsentIds:
    """Bounded in time and number. An id is kept with how far the store was when it was looked for."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._found: dict[UUID, tuple[float, StoredUntil]] = {}
        # Where senders choose their own ids such a search reads much of the index; several at once would starve others.
        self.one_search_at_a_time = asyncio.Lock()
        self.searches: SingleFlight[UUID, tuple[LoggedEvent | None, StoredUntil]] = SingleFlight(now_s)

    def get(self, identifier: UUID) -> StoredUntil | None:
        """How far the store was when this id was last searched for in vain; None when that is not known."""
        kept = self._found.get(identifier)
        if kept is None or self._now_s() - kept[0] > KEPT_S:
            return None
        return kept[1]

    def add(self, identifier: UUID, until: StoredUntil) -> None:
        """It was in no partition."""
        if len(self._found) >= _MOST:
            self._found.clear()
        self._found[identifier] = self._now_s(), until
