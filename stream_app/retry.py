"""How long to wait between tries of something that is away for a while."""

from __future__ import annotations

import random
from dataclasses import dataclass


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
