"""What the Kafka consumer knows of its partitions: which are ours, and how far their ends were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol


class Consumer(Protocol):
    """What is asked of aiokafka's consumer; a partition is (topic, number)."""

    def assignment(self) -> Iterable[tuple[str, int]]: ...
    def last_poll_timestamp(self, partition: Any) -> int | None:
        """When the last fetch of it was answered, milliseconds since 1970."""
        ...

    def highwater(self, partition: Any) -> int | None:
        """Its end offset, as the last fetch said."""
        ...


class Positions:
    """What the consumer knows of its partitions, read without waiting for anything."""

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

    def reached(self) -> dict[int, tuple[int, int]]:
        """Partition -> (end offset, time in ms): the end held everything appended before that time.

        A fetch may have been answered before a record came and read here after it. The request of the last answer was
        sent after the answer before it had come, so that earlier moment is safe. Call several times a second.
        """
        consumer = self._consumer()
        if consumer is None:
            return {}
        found = {}
        for tp in list(consumer.assignment()):
            topic, partition = tp
            if topic != self._topic:
                continue
            last_ms = consumer.last_poll_timestamp(tp)
            end = consumer.highwater(tp)
            if not last_ms or end is None:
                continue
            before, latest = self._fetches.get(partition, (0, 0))
            if last_ms != latest:
                before, latest = latest, last_ms
                self._fetches[partition] = (before, latest)
            if before:
                found[partition] = (end, before)
        return found
