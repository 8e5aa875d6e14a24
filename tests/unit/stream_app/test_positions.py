"""How far the ends of partitions were seen, and since when that is sure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stream_app.positions import Positions


@dataclass
class FakeConsumer:
    """Answers as aiokafka's consumer does; (end offset, time) for each partition that was fetched."""

    partitions: list[tuple[str, int]]
    fetched: dict[int, tuple[int, int]] = field(default_factory=dict)

    def assignment(self) -> Iterable[tuple[str, int]]:
        return self.partitions

    def last_fetch(self, partition: Any) -> tuple[int, int] | None:
        return self.fetched.get(partition[1])


def test_before_there_is_a_consumer_nothing_is_known() -> None:
    positions = Positions(lambda: None, "events")

    assert (positions.assigned(), positions.reached()) == ([], {})


def test_only_partitions_of_the_topic_are_ours() -> None:
    consumer = FakeConsumer([("events", 3), ("other", 1), ("events", 0)], {1: (5, 100)})

    assert Positions(lambda: consumer, "events").assigned() == [0, 3]
    assert Positions(lambda: consumer, "events").reached() == {}


def test_an_end_is_sure_only_since_the_fetch_before_the_last_one() -> None:
    consumer = FakeConsumer([("events", 0)])
    positions = Positions(lambda: consumer, "events")
    assert positions.reached() == {}
    consumer.fetched[0] = (10, 1000)
    assert positions.reached() == {}
    consumer.fetched[0] = (12, 1100)
    assert positions.reached() == {0: (12, 1000)}
    consumer.fetched[0] = (12, 1200)

    assert positions.reached() == {0: (12, 1100)}


def test_without_a_new_fetch_the_time_stands_still() -> None:
    consumer = FakeConsumer([("events", 0)], {0: (10, 1000)})
    positions = Positions(lambda: consumer, "events")
    positions.reached()
    consumer.fetched[0] = (10, 1100)

    assert [positions.reached() for _ in range(3)] == [{0: (10, 1000)}] * 3


def test_a_partition_that_vanished_meanwhile_is_skipped() -> None:
    consumer = FakeConsumer([("events", 0), ("events", 1)], {1: (5, 100)})

    assert Positions(lambda: consumer, "events").ends() == {1: 5}


def test_a_look_from_the_watchdogs_thread_remembers_nothing() -> None:
    consumer = FakeConsumer([("events", 0)], {0: (10, 1000)})
    positions = Positions(lambda: consumer, "events")
    assert positions.ends() == {0: 10}
    consumer.fetched[0] = (10, 1100)

    assert positions.reached() == {}
