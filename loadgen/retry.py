"""When a refused or unanswered request is sent again: a pure policy, told the time and the chance."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `max_attempts` in all, none beginning later than `max_elapsed_s` after the first."""

    max_attempts: int = 6
    max_elapsed_s: float = 30.0
    first_delay_s: float = 0.2
    max_delay_s: float = 5.0

    def delay_s(self, attempts: int, elapsed_s: float, retry_after_s: float | None, rng: Random) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        `attempts` have been made, the first `elapsed_s` ago. A server's `Retry-After` is waited for in full, plus up to
        a tenth so that senders do not come back together; without one the wait doubles, between half and all of it.
        """
        if attempts >= self.max_attempts:
            return None
        if retry_after_s is not None:
            delay = retry_after_s * (1 + 0.1 * rng.random())
        else:
            longest = min(self.first_delay_s * 2.0 ** (attempts - 1), self.max_delay_s)
            delay = longest * (0.5 + 0.5 * rng.random())
        return delay if elapsed_s + delay <= self.max_elapsed_s else None
