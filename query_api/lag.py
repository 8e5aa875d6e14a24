"""How far storage is behind Kafka: plain arithmetic over what both said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from query_api.completeness import PartitionEnds
from query_api.reading import ALIVE_WITHIN_S, StoredPosition


@dataclass(frozen=True, slots=True)
class OldestUnstored:
    """When Kafka appended the first record of a partition that is not stored: the one at `offset`."""

    offset: int
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class Sample:
    """End and next offset to store of every partition at one moment (monotonic seconds)."""

    at_s: float
    ends: Mapping[int, int]
    stored: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class When:
    """The moment of a report: the time, how long ago positions were read, and the samples of the last seconds."""

    now: datetime
    silence_s: float
    samples: Sequence[Sample] = ()


class WorkerState(msgspec.Struct, frozen=True):
    """The worker that wrote a partition's position last, and whether it was heard of within five seconds."""

    name: str
    alive: bool


class PartitionLag(msgspec.Struct, frozen=True):
    """One partition. `next_offset` is None while no worker has ever taken it; then everything in it is lag.

    `seconds_to_catch_up` is None while its lag does not shrink.
    """

    partition: int
    end_offset: int
    next_offset: int | None
    lag: int
    oldest_unstored_age_s: float | None
    stored_until: datetime | None
    worker: WorkerState | None
    seconds_to_catch_up: float | None = None


class TotalLag(msgspec.Struct, frozen=True):
    """All partitions. `seconds_to_catch_up` is the slowest's; None while that of any does not shrink."""

    lag: int
    oldest_unstored_age_s: float | None
    appended_per_second: float | None
    stored_per_second: float | None
    seconds_to_catch_up: float | None


def partition_lags(
    ends: PartitionEnds, positions: Sequence[StoredPosition], oldest: Mapping[int, OldestUnstored], when: When
) -> list[PartitionLag]:
    """One entry for each partition that Kafka has."""
    by_partition = {position.partition: position for position in positions}
    return [
        _partition_lag(partition, bounds, by_partition.get(partition), oldest.get(partition), when)
        for partition, bounds in sorted(ends.offsets.items())
    ]


def _partition_lag(
    partition: int,
    bounds: tuple[int, int],
    position: StoredPosition | None,
    oldest: OldestUnstored | None,
    when: When,
) -> PartitionLag:
    first, end = bounds
    following = first if position is None else position.next_offset
    lag = max(end - following, 0)
    age_s = None
    if lag and oldest is not None and oldest.offset >= following:
        age_s = round(max((when.now - oldest.appended_at).total_seconds(), 0.0), 3)
    catch_up_s = _seconds_to_catch_up(partition, lag, when.samples)
    if position is None:
        return PartitionLag(partition, end, None, lag, age_s, None, None, catch_up_s)
    worker = WorkerState(position.worker, position.silent_s + when.silence_s <= ALIVE_WITHIN_S)
    return PartitionLag(partition, end, position.next_offset, lag, age_s, position.stored_until, worker, catch_up_s)


def _seconds_to_catch_up(partition: int, lag: int, samples: Sequence[Sample]) -> float | None:
    """The lag by the difference of both rates, between the first and the last sample that know the partition."""
    if lag == 0:
        return 0.0
    known = [sample for sample in samples if partition in sample.ends]
    if len(known) < 2:
        return None
    first, last = known[0], known[-1]
    stored = last.stored[partition] - first.stored[partition]
    appended = last.ends[partition] - first.ends[partition]
    return round(lag * (last.at_s - first.at_s) / (stored - appended), 1) if stored > appended else None


def total_lag(partitions: Sequence[PartitionLag], samples: Sequence[Sample]) -> TotalLag:
    """The sums, with rates between the first and the last of `samples`."""
    lag = sum(entry.lag for entry in partitions)
    ages = [entry.oldest_unstored_age_s for entry in partitions if entry.oldest_unstored_age_s is not None]
    appended = stored = None
    if len(samples) > 1 and samples[-1].at_s > samples[0].at_s:
        passed_s = samples[-1].at_s - samples[0].at_s
        appended = round(_grown(samples[0].ends, samples[-1].ends) / passed_s, 1)
        stored = round(_grown(samples[0].stored, samples[-1].stored) / passed_s, 1)
    waits = [entry.seconds_to_catch_up for entry in partitions]
    known = [wait_s for wait_s in waits if wait_s is not None]
    catch_up_s = max(known, default=0.0) if len(known) == len(waits) else None
    return TotalLag(lag, max(ages, default=None), appended, stored, catch_up_s)


def _grown(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """By how much in all; a partition that was made meanwhile grew from nothing."""
    return max(sum(after.values()) - sum(before.values()), 0)
