"""How complete an answer is: until when everything accepted is in it, and how far behind storage is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from ingest_gateway.contract import moment_of, unix_us
from query_api.positions import StoredUntil


@dataclass(frozen=True, slots=True)
class PartitionEnds:
    """What Kafka held of the topic at `as_of`: partition -> (first offset still kept, end offset)."""

    as_of: datetime
    offsets: Mapping[int, tuple[int, int]]


class Lag(msgspec.Struct, frozen=True):
    """How many accepted events are not stored yet, as last known at `as_of`; `stale` when that is long ago."""

    events: int | None
    as_of: datetime | None
    stale: bool


UNKNOWN_LAG: Final = Lag(None, None, stale=True)


class Completeness(msgspec.Struct, frozen=True):
    """Every event acknowledged before `complete_until` is in the answer; when that is None, `reason` says why."""

    complete_until: datetime | None
    reason: str | None = None


def completeness(stored_until_us: StoredUntil, ends: PartitionEnds | None) -> Completeness:
    """The least of all partitions, stored and known to Kafka.

    A partition of the topic without a stored position was never given to a worker: if it is empty, nothing of it can be
    missing up to the moment that was seen; if it is not, nothing is known.
    """
    if not stored_until_us:
        return Completeness(None, "no worker has taken any partition of the topic yet")
    bounds = dict(stored_until_us)
    for partition, (first, end) in (ends.offsets if ends else {}).items():
        if partition not in bounds:
            if end > first:
                return Completeness(None, f"partition {partition} has events and no worker has taken it yet")
            assert ends is not None
            bounds[partition] = unix_us(ends.as_of)
    partition, until_us = min(bounds.items(), key=lambda bound: bound[1])
    if until_us <= 0:
        return Completeness(None, f"partition {partition} was taken by a worker that has not stored anything of it yet")
    return Completeness(moment_of(until_us))
