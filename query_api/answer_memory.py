"""Finished answers in the memory of this process, those of use last; bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

# What an entry takes beside its body, about.
_ENTRY_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The body of an answer, when its snapshot was taken, and how old it may get, in seconds since 1970 and seconds."""

    body: bytes
    snapshot_s: float
    ttl_s: float

    def is_young(self, now_s: float) -> bool:
        """Whether it may still be given; not after a clock was set back, when nobody knows its age."""
        return 0 <= now_s - self.snapshot_s <= self.ttl_s


class AnswerMemory:
    """By the question's key. With a `max_bytes` of 0 nothing is kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, KeptAnswer] = OrderedDict()

    def get(self, key: str, now_s: float) -> KeptAnswer | None:
        """One that is young enough."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not kept.is_young(now_s):
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: str, answer: KeptAnswer) -> None:
        """Keeps it instead of those that were of no use for longest."""
        self._forget(key)
        size = len(answer.body) + _ENTRY_BYTES
        if size > self._max_bytes:
            return
        self._kept[key] = answer
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.body) + _ENTRY_BYTES
