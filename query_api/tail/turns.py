"""Work for tails in short turns, one at a time: whatever they filter, everything else in the process has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

TURN_S: Final = 0.002


class Turns:
    """Shared by all tails of a process: together they hold the event loop no longer than one of them."""

    def __init__(self, monotonic_s: Callable[[], float], turn_s: float = TURN_S) -> None:
        self.now_s = monotonic_s
        self._turn_s = turn_s
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[float]:
        """A turn, with the time by `now_s` at which its work should pause."""
        async with self._lock:
            yield self.now_s() + self._turn_s
            # Whoever is next has the loop only after all others had it.
            await asyncio.sleep(0)
