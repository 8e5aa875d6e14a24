"""What the Kafka consumer knows of its partitions: which are ours, and how far their ends were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol


class Consumer(Protocol):
    """What is asked of the consumer; a partition is (topic, number)."""

    def assignment(self) -> Iterable[tuple[str, int]]: ...
    def last_fetch(self, partition: Any) -> tuple[int, int] | None:
        """(end offset, milliseconds since 1970) of its last fetch; None before one, and once it is gone."""
        ...


class Positions:
    """What the consumer knows of its partitions, read without waiting for anything.

    The event loop alone calls `reached`, which remembers. The watchdog's thread calls `assigned` and `ends`, which hold
    nothing: a rebalance under them shows at worst the partitions of a moment ago.
    """

    def __init__(self, consumer: Callable[[], Consumer | None], topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        # Partition -> (time of the fetch before the last one, time of the last one).
        self._fetches: dict[int, tuple[int, int]] = {}

    def assigned(self) -> list[int]:
        """The partitions of this worker."""
        consumer = self._consumer()
        return (
            []
            if consumer is None
            else sorted(number for topic, number in consumer.assignment() if topic == self._topic)
        )

    def ends(self) -> dict[int, int]:
        """Partition -> its end offset, as the last fetch said."""
        return {partition: end for partition, (end, _) in self._last_fetches().items()}

    def reached(self) -> dict[int, tuple[int, int]]:
        """Partition -> (end offset, time in ms): the end held everything appended before that time.

        A fetch may have been answered before a record came and read here after it. The request of the last answer was
        sent after the answer before it had come, so that earlier moment is safe. Call several times a second.
        """
        found = {}
        for partition, (end, last_ms) in self._last_fetches().items():
            before, latest = self._fetches.get(partition, (0, 0))
            if last_ms != latest:
                before, latest = latest, last_ms
                self._fetches[partition] = (before, latest)
            if before:
                found[partition] = (end, before)
        return found

    def _last_fetches(self) -> dict[int, tuple[int, int]]:
        consumer = self._consumer()
        if consumer is None:
            return {}
        fetches = ((tp[1], consumer.last_fetch(tp)) for tp in consumer.assignment() if tp[0] == self._topic)
        return {partition: fetch for partition, fetch in fetches if fetch is not None}
