"""The arithmetic of lag."""

from __future__ import annotations

from query_api.completeness import PartitionEnds
from query_api.lag import OldestUnstored, PartitionLag, Sample, When, WorkerState, partition_lags, total_lag
from tests.unit.query_api.builders import moment, position


def ends(**offsets: tuple[int, int]) -> PartitionEnds:
    return PartitionEnds(moment(0), {int(name[1:]): bounds for name, bounds in offsets.items()})


def test_it_is_the_end_less_the_next_offset_to_store() -> None:
    (found,) = partition_lags(ends(p0=(0, 130)), [position(0, next_offset=100)], {}, When(moment(0), 0.0))
    assert (found.lag, found.end_offset, found.next_offset) == (30, 130, 100)


def test_everything_kept_of_a_partition_that_nobody_took_is_lag() -> None:
    (found,) = partition_lags(ends(p3=(20, 50)), [], {}, When(moment(0), 0.0))
    assert (found.partition, found.lag, found.next_offset, found.worker) == (3, 30, None, None)


def test_positions_read_after_the_ends_never_make_it_negative() -> None:
    (found,) = partition_lags(ends(p0=(0, 90)), [position(0, next_offset=100)], {}, When(moment(0), 0.0))
    assert found.lag == 0


def test_the_age_of_the_oldest_grows_with_time() -> None:
    oldest = {0: OldestUnstored(100, moment(-30))}
    (found,) = partition_lags(ends(p0=(0, 130)), [position(0)], oldest, When(moment(5), 0.0))
    assert found.oldest_unstored_age_s == 35.0


def test_a_record_that_is_stored_by_now_is_not_the_oldest() -> None:
    oldest = {0: OldestUnstored(99, moment(-30))}
    (found,) = partition_lags(ends(p0=(0, 130)), [position(0, next_offset=100)], oldest, When(moment(5), 0.0))
    assert found.oldest_unstored_age_s is None


def test_a_worker_lives_that_was_heard_of_within_five_seconds() -> None:
    quiet = [position(0, silent_s=5.1), position(1, silent_s=4.9)]
    found = partition_lags(ends(p0=(0, 1), p1=(0, 1)), quiet, {}, When(moment(0), 0.0))
    assert [entry.worker for entry in found] == [
        WorkerState("stream-host-1", alive=False),
        WorkerState("stream-host-1", alive=True),
    ]


def test_positions_that_could_not_be_read_again_age() -> None:
    (found,) = partition_lags(ends(p0=(0, 1)), [position(0, silent_s=1.0)], {}, When(moment(0), 4.5))
    assert found.worker is not None
    assert not found.worker.alive


def lags(samples: list[Sample]) -> list[PartitionLag]:
    """The lag of each partition as the last sample says."""
    last = samples[-1]
    positions = [position(partition, next_offset=offset) for partition, offset in last.stored.items()]
    bounds = {partition: (0, end) for partition, end in last.ends.items()}
    return partition_lags(PartitionEnds(moment(0), bounds), positions, {}, When(moment(0), 0.0, samples))


def test_the_time_to_catch_up_is_the_lag_by_the_difference_of_both_rates() -> None:
    samples = [Sample(10.0, {0: 200}, {0: 0}), Sample(20.0, {0: 300}, {0: 210})]
    found = total_lag(lags(samples), samples)
    assert (found.lag, found.appended_per_second, found.stored_per_second) == (90, 10.0, 21.0)
    assert found.seconds_to_catch_up == 8.2


def test_each_partition_has_a_time_of_its_own_and_the_whole_that_of_the_slowest() -> None:
    samples = [Sample(10.0, {0: 1000, 1: 500, 2: 7}, {0: 0, 1: 0, 2: 7})]
    samples.append(Sample(20.0, {0: 1000, 1: 500, 2: 7}, {0: 900, 1: 100, 2: 7}))
    entries = lags(samples)
    assert [entry.seconds_to_catch_up for entry in entries] == [1.1, 40.0, 0.0]
    assert total_lag(entries, samples).seconds_to_catch_up == 40.0


def test_one_partition_that_stands_still_leaves_the_whole_without_a_time() -> None:
    samples = [Sample(10.0, {0: 1000, 1: 500}, {0: 0, 1: 20}), Sample(20.0, {0: 1000, 1: 510}, {0: 900, 1: 20})]
    entries = lags(samples)
    assert [entry.seconds_to_catch_up for entry in entries] == [1.1, None]
    assert total_lag(entries, samples).seconds_to_catch_up is None


def test_a_partition_that_was_made_meanwhile_is_timed_from_when_it_was_seen() -> None:
    samples = [Sample(10.0, {0: 5}, {0: 5}), Sample(15.0, {0: 5, 1: 100}, {0: 5, 1: 0})]
    assert lags(samples)[1].seconds_to_catch_up is None
    samples.append(Sample(20.0, {0: 5, 1: 100}, {0: 5, 1: 50}))
    assert lags(samples)[1].seconds_to_catch_up == 5.0


def test_there_is_none_while_the_lag_does_not_shrink() -> None:
    samples = [Sample(10.0, {0: 200}, {0: 0}), Sample(20.0, {0: 300}, {0: 100})]
    assert total_lag(lags(samples), samples).seconds_to_catch_up is None
    assert total_lag(lags(samples[:1]), samples[:1]).seconds_to_catch_up is None


def test_without_lag_it_is_caught_up() -> None:
    samples = [Sample(10.0, {0: 100}, {0: 100})]
    assert total_lag(lags(samples), samples).seconds_to_catch_up == 0.0
