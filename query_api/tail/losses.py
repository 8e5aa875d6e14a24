"""What whoever tails did not get: how much, why, and the time range to ask for it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from ingest_gateway.contract import EARLIEST, unix_us
from query_api.tail.vector import Vector

Reason = Literal["slow_reader", "too_far_behind", "retention", "topic_made_anew"]
EARLIEST_US: Final = unix_us(EARLIEST)
# A tail that is further behind than this many records goes on with what comes now.
MOST_BEHIND: Final = 500_000
Bounds = Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Loss:
    """What was not looked at: so many events at most (None: nobody knows), to be asked for in [first_us, last_us)."""

    reason: Reason
    events: int | None
    first_us: int
    last_us: int


@dataclass(slots=True)
class SkippedSpan:
    """Events that were not looked at, and the range of their own times, in microseconds; grows as more are added."""

    events: int = 0
    first_us: int = 0
    last_us: int = 0
    losses: list[Loss] | None = None

    def add(self, ts_us: int) -> None:
        """One event at its own time."""
        if self.events == 0:
            self.first_us = self.last_us = ts_us
        self.events += 1
        self.first_us, self.last_us = min(self.first_us, ts_us), max(self.last_us, ts_us)

    def add_loss(self, loss: Loss) -> None:
        """Something that had been lost before."""
        self.losses = [*(self.losses or ()), loss]

    def taken(self) -> list[Loss]:
        """What there was to tell; it is told once."""
        found = list(self.losses or ())
        if self.events:
            # The end of a range does not belong to it.
            found.append(Loss("slow_reader", self.events, self.first_us, self.last_us + 1))
        self.events, self.losses = 0, None
        return found


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a reader really begins, and what lies between there and where it wanted to.

    `gone`: records that Kafka no longer has; `behind`: those passed over, which begin at `passed_from`.
    """

    positions: Vector
    gone: int = 0
    made_anew: bool = False
    behind: int = 0
    passed_from: Vector = field(default_factory=dict)


def placed(wanted: Vector, bounds: Bounds, most_behind: int = MOST_BEHIND) -> Placed:
    """The positions in Kafka for a vector of offsets; `bounds` are each partition's first offset and its end.

    A partition that the vector does not know was made later, and is read from its beginning. One that ends before the
    wanted offset is another partition of the same name: the topic was made anew.
    """
    positions: dict[int, int] = {}
    gone, made_anew = 0, False
    for partition, (first, end) in bounds.items():
        offset = wanted.get(partition, first)
        if offset > end:
            made_anew, offset = True, first
        elif offset < first:
            gone, offset = gone + first - offset, first
        positions[partition] = offset
    behind = sum(end - positions[partition] for partition, (_, end) in bounds.items())
    if behind > most_behind:
        passed = {partition: offset for partition, offset in positions.items() if offset < bounds[partition][1]}
        return Placed({partition: end for partition, (_, end) in bounds.items()}, gone, made_anew, behind, passed)
    return Placed(positions, gone, made_anew)


def losses_of(found: Placed, now: datetime, behind_since_us: int | None) -> list[Loss]:
    """What is told of it. The time of what Kafka no longer has is not known: it may be any before now."""
    now_us = unix_us(now)
    told: list[Loss] = []
    if found.made_anew:
        told.append(Loss("topic_made_anew", None, EARLIEST_US, now_us))
    if found.gone:
        told.append(Loss("retention", found.gone, EARLIEST_US, now_us))
    if found.behind:
        told.append(Loss("too_far_behind", found.behind, behind_since_us or EARLIEST_US, now_us))
    return told
