"""How far storage is behind Kafka: plain arithmetic over what both said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from query_api.completeness import PartitionEnds
from query_api.reading import StoredPosition

# A worker that lives writes its figures each second.
ALIVE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class OldestUnstored:
    """When Kafka appended the first record of a partition that is not stored: the one at `offset`."""

    offset: int
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class Sample:
    """Sums over all partitions at one moment (monotonic seconds)."""

    at_s: float
    ends: int
    stored: int


class WorkerState(msgspec.Struct, frozen=True):
    """The worker that wrote a partition's position last, and whether it was heard of within five seconds."""

    name: str
    alive: bool


class PartitionLag(msgspec.Struct, frozen=True):
    """One partition. `next_offset` is None while no worker has ever taken it; then everything in it is lag."""

    partition: int
    end_offset: int
    next_offset: int | None
    lag: int
    oldest_unstored_age_s: float | None
    stored_until: datetime | None
    worker: WorkerState | None


class TotalLag(msgspec.Struct, frozen=True):
    """All partitions. `seconds_to_catch_up` is None while the lag does not shrink."""

    lag: int
    oldest_unstored_age_s: float | None
    appended_per_second: float | None
    stored_per_second: float | None
    seconds_to_catch_up: float | None


def partition_lags(
    ends: PartitionEnds,
    positions: Sequence[StoredPosition],
    oldest: Mapping[int, OldestUnstored],
    now: datetime,
    silence_s: float,
) -> list[PartitionLag]:
    """One entry for each partition that Kafka has. `silence_s`: how long ago the positions were read."""
    by_partition = {position.partition: position for position in positions}
    return [
        _partition_lag(partition, bounds, by_partition.get(partition), oldest.get(partition), now, silence_s)
        for partition, bounds in sorted(ends.offsets.items())
    ]


def _partition_lag(
    partition: int,
    bounds: tuple[int, int],
    position: StoredPosition | None,
    oldest: OldestUnstored | None,
    now: datetime,
    silence_s: float,
) -> PartitionLag:
    first, end = bounds
    following = first if position is None else position.next_offset
    lag = max(end - following, 0)
    age_s = None
    if lag and oldest is not None and oldest.offset >= following:
        age_s = round(max((now - oldest.appended_at).total_seconds(), 0.0), 3)
    if position is None:
        return PartitionLag(partition, end, None, lag, age_s, None, None)
    worker = WorkerState(position.worker, position.silent_s + silence_s <= ALIVE_WITHIN_S)
    return PartitionLag(partition, end, position.next_offset, lag, age_s, position.stored_until, worker)


def total_lag(partitions: Sequence[PartitionLag], samples: Sequence[Sample]) -> TotalLag:
    """The sums, with rates between the first and the last of `samples`."""
    lag = sum(entry.lag for entry in partitions)
    ages = [entry.oldest_unstored_age_s for entry in partitions if entry.oldest_unstored_age_s is not None]
    appended = stored = catch_up_s = None
    if len(samples) > 1 and samples[-1].at_s > samples[0].at_s:
        passed_s = samples[-1].at_s - samples[0].at_s
        appended = max(samples[-1].ends - samples[0].ends, 0) / passed_s
        stored = max(samples[-1].stored - samples[0].stored, 0) / passed_s
        if stored > appended:
            catch_up_s = round(lag / (stored - appended), 1)
        appended, stored = round(appended, 1), round(stored, 1)
    if lag == 0:
        catch_up_s = 0.0
    return TotalLag(lag, max(ages, default=None), appended, stored, catch_up_s)
