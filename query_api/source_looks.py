"""Which stretches are worth being remembered: those that do not change all the time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from query_api.source_stretches import FIVE_MINUTES, HOUR_MINUTES, DividedRange, Stretch

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

    def worth(
        self, parts: DividedRange, known: Mapping[Stretch, int], events: Mapping[Stretch, int], latest_minute: int
    ) -> list[Stretch]:
        """What of a range is worth being remembered, by the events of its stretches: those known, and those asked for.

        Days, or their hours where a day is not steady; and all minutes of an hour in which one was asked for, with the
        fives of them, since the edges of the next ranges are likely to be near.
        """
        found: dict[Stretch, None] = {}
        of_hours = {**known, **events}
        for day, is_whole in parts.days():
            if day not in known:
                found |= dict.fromkeys(self._of_day(day, is_whole, of_hours, latest_minute))
        for stretch in parts.edges:
            if stretch in known:
                continue
            self._note(stretch, events[stretch])
            if self._is_steady(stretch, latest_minute):
                hour = stretch.around(HOUR_MINUTES)
                found |= dict.fromkeys((*hour.parts(FIVE_MINUTES), *hour.parts(1)))
        return [stretch for stretch in found if self._is_steady(stretch, latest_minute)]

    def _of_day(
        self, day: Stretch, is_whole: bool, events: Mapping[Stretch, int], latest_minute: int
    ) -> Sequence[Stretch]:
        hours = list(day.parts(HOUR_MINUTES))
        if is_whole:
            self._note(day, sum(events[hour] for hour in hours))
            if self._is_steady(day, latest_minute):
                return [day]
        for hour in hours:
            self._note(hour, events[hour])
        return hours

    def _note(self, stretch: Stretch, events: int) -> None:
        """For the next look."""
        before = self._seen.pop(stretch, None)
        changed_s = None if before is None else before.changed_s
        if before is not None and before.events != events:
            changed_s = self._now_s()
        self._seen[stretch] = _Seen(events, changed_s)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def _is_steady(self, stretch: Stretch, latest_minute: int) -> bool:
        """Whether it is taken to stay as it is."""
        if stretch.end + _FULL_AFTER_MINUTES > latest_minute:
            return False
        seen = self._seen.get(stretch)
        return seen is None or seen.changed_s is None or self._now_s() - seen.changed_s >= _SAME_FOR_S

    def forget(self) -> None:
        """Everything."""
        self._seen.clear()
