"""How long to wait between tries of something that is away for a while."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from stream_app.outcomes import UnavailableError

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter above a floor, for ever: giving up would lose what is waiting."""

    first_s: float = 0.05
    longest_s: float = 2.0
    factor: float = 2.0

    def delay_s(self, attempt: int, randomness: random.Random) -> float:
        """The wait before try number `attempt`, counted from 1."""
        ceiling = min(self.longest_s, self.first_s * self.factor ** min(attempt - 1, 30))
        return randomness.uniform(self.first_s / 2, ceiling)


class Patience:
    """Tries again for ever; `retried` is told each time what was away."""

    def __init__(self, backoff: Backoff, randomness: random.Random, retried: Callable[[str], None]) -> None:
        self._backoff = backoff
        self._randomness = randomness
        self._retried = retried

    async def until_available(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work` once it raises no UnavailableError."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await work()
            except UnavailableError as error:
                self._retried(error.label)
                log.warning(f"{error.trouble}; nothing is acknowledged until it is over", extra={"why": str(error)})
                await asyncio.sleep(self._backoff.delay_s(attempt, self._randomness))
