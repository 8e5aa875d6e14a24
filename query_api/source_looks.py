"""Which stretches are worth being remembered: those that do not change all the time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from query_api.source_stretches import Stretch

# A stretch that is over by so many minutes is taken to be full, until it is seen to change.
_FULL_AFTER_MINUTES: Final = 1
# Having changed, it has to be the same for so long. Workers write several times a second.
_SAME_FOR_S: Final = 5.0


class _Seen(NamedTuple):
    """`changed_s` is None where it was never seen to change."""

    events: int
    changed_s: float | None


class Looks:
    """How many events each stretch had at the last look. Whether an answer is right does not depend on it.

    The day and the minutes that are filling would be steady, were it only to be the same at two looks: two questions
    often come between two writes.
    """

    def __init__(self, now_s: Callable[[], float], most: int) -> None:
        self._now_s = now_s
        self._most = most
        self._seen: OrderedDict[Stretch, _Seen] = OrderedDict()

    def is_steady(self, stretch: Stretch, events: int, latest_minute: int) -> bool:
        """Whether it is taken to stay as it is, and to be asked for again: single minutes only if they were
        before. It is noted for the next look.
        """
        before = self._seen.pop(stretch, None)
        changed_s = None if before is None else before.changed_s
        if before is not None and before.events != events:
            changed_s = self._now_s()
        self._seen[stretch] = _Seen(events, changed_s)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        if stretch.end + _FULL_AFTER_MINUTES > latest_minute:
            return False
        if changed_s is not None:
            return self._now_s() - changed_s >= _SAME_FOR_S
        return before is not None or stretch.minutes > 1

    def forget(self) -> None:
        """Everything."""
        self._seen.clear()
