"""Keeps a service that does not answer from being waited for again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

OPEN_S: Final = 1.0
# Fewer failures, or a success as young as this, say more about a busy machine than about the service.
FAILURES: Final = 3
SUCCESS_COUNTS_S: Final = 1.0


class Circuit:
    """Open for a second after three failures in a row, when nothing succeeded in the last second: nothing is asked.

    Then one question is let through to find out. While that one is under way the others are still turned away; its
    success closes the circuit, its failure opens it for another second.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._open_until_s: float | None = None
        self._failures = 0
        self._succeeded_s: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether questions are asked."""
        return self._open_until_s is None

    def may_ask(self) -> bool:
        """Whether to ask now; after this say `succeeded` or `failed`."""
        if self._open_until_s is None:
            return True
        now_s = self._now_s()
        if now_s < self._open_until_s:
            return False
        self._open_until_s = now_s + OPEN_S
        return True

    def succeeded(self) -> None:
        """It answered."""
        self._open_until_s = None
        self._failures = 0
        self._succeeded_s = self._now_s()

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        now_s = self._now_s()
        answers = self._succeeded_s is not None and now_s - self._succeeded_s < SUCCESS_COUNTS_S
        if self._open_until_s is not None or (self._failures >= FAILURES and not answers):
            self._open_until_s = now_s + OPEN_S
