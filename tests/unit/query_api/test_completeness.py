"""Until when an answer is complete."""

from __future__ import annotations

from ingest_gateway.contract import unix_us
from query_api.completeness import Completeness, PartitionEnds, completeness
from tests.unit.query_api.builders import moment

ENDS = PartitionEnds(moment(50), {0: (0, 10), 1: (5, 5)})


def us(seconds: float) -> int:
    return unix_us(moment(seconds))


def test_it_is_the_least_of_all_partitions() -> None:
    assert completeness({0: us(9), 1: us(3), 2: us(7)}, None) == Completeness(moment(3))


def test_without_any_partition_nothing_is_known_and_said_why() -> None:
    found = completeness({}, ENDS)
    assert found.complete_until is None
    assert found.reason is not None


def test_a_partition_with_events_that_nobody_took_makes_it_unknown() -> None:
    found = completeness({1: us(9)}, ENDS)
    assert found.complete_until is None
    assert found.reason is not None
    assert "partition 0" in found.reason


def test_an_empty_partition_that_nobody_took_counts_up_to_when_it_was_seen_empty() -> None:
    assert completeness({0: us(90)}, ENDS).complete_until == moment(50)
    assert completeness({0: us(40)}, ENDS).complete_until == moment(40)


def test_a_partition_of_which_nothing_is_stored_yet_makes_it_unknown() -> None:
    found = completeness({0: us(9), 3: 0}, None)
    assert found.complete_until is None
    assert found.reason is not None
    assert "partition 3" in found.reason


def test_kafka_being_away_does_not_matter_to_what_is_stored() -> None:
    assert completeness({0: us(9), 1: us(8)}, None).complete_until == moment(8)
