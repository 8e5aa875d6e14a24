"""What proves that counts by source are still those that were remembered: how many events each stretch has now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from query_api.snapshot import Row
from query_api.source_stretches import DAY_MINUTES, FIVE_MINUTES, HOUR_MINUTES, Stretch


class Proof(NamedTuple):
    """Where it is the same, so are the counts of the stretch: while `drops` and `started_us` are, counts only grow."""

    events: int
    drops: int
    started_us: int


@dataclass(frozen=True, slots=True)
class StretchCounts:
    """What a state has: events of hours and fives of minutes, and of days since 1970; and the rest of their proofs."""

    hours: Mapping[Stretch, int]
    fives: Mapping[Stretch, int]
    days: Mapping[int, int]
    about: tuple[int, int]

    @classmethod
    def of(cls, state: Row) -> StretchCounts:
        """Of a row of `source_sql.state`."""
        hours: dict[Stretch, int] = {}
        days: Counter[int] = Counter()
        for hour, n in zip(state["hours"] or (), state["counts"] or (), strict=True):
            hours[Stretch(hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES)] = n
            days[hour // 24] += n
        fives = zip(state["fives"] or (), state["five_counts"] or (), strict=True)
        counts = {Stretch(five * FIVE_MINUTES, (five + 1) * FIVE_MINUTES): n for five, n in fives}
        return cls(hours, counts, days, (state["drops"], state["started_us"]))

    def proof(self, stretch: Stretch) -> Proof:
        """Of one that was counted; without events where it was not."""
        if stretch.minutes == DAY_MINUTES:
            return Proof(self.days.get(stretch.first // DAY_MINUTES, 0), *self.about)
        level = self.hours if stretch.minutes == HOUR_MINUTES else self.fives
        return Proof(level.get(stretch, 0), *self.about)
