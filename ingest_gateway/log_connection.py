"""What the publisher needs of a connection to Kafka, and what it keeps about one: its partitions and their batches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from ingest_gateway.request_queue import Batch


@dataclass(frozen=True, slots=True)
class TopicPartitions:
    """The topic's partitions, and those of them that have a leader: only these can take records now."""

    existing: frozenset[int]
    led: frozenset[int]


class OutgoingBatch(Batch, Protocol):
    """A batch that can be sent."""

    async def send(self, partition: int) -> int | None:
        """Returns the offset of the first record when it is acknowledged, None when that is unknown.

        May wait for ever. After a failure its connection must not be used again.
        """


class LogConnection(Protocol):
    """One open producer, bound to the topic. Every failure is a PublishUnavailableError."""

    def new_batch(self) -> OutgoingBatch:
        """An empty batch."""

    async def partitions(self) -> TopicPartitions:
        """Asks Kafka for the topic's partitions: the proof that it answers. May take seconds."""

    async def close(self, timeout_s: float) -> None:
        """Sends what is left, within the time; then gives up everything and ends."""


class TrackedConnection:
    """A connection with its partitions: idle ones, and those whose batch is awaited since when."""

    __slots__ = ("_acknowledged_at", "_awaited", "_led", "broken", "connection", "existing", "idle", "records")

    def __init__(self, connection: LogConnection, partitions: TopicPartitions) -> None:
        self.connection = connection
        self.existing = partitions.existing
        self.idle = deque(sorted(partitions.led))
        self.records = 0
        self.broken = False
        self._led = partitions.led
        self._awaited: dict[int, float] = {}
        self._acknowledged_at = 0.0

    def take_partition(self, now: float, records: int) -> int:
        """The idle partition whose turn it is; from now on its batch of so many records is awaited."""
        partition = self.idle.popleft()
        self._awaited[partition] = now
        self.records += records
        return partition

    def acknowledged(self, partition: int, now: float) -> None:
        """The partition's batch is safe: it may take the next one, if it still has a leader."""
        del self._awaited[partition]
        self._acknowledged_at = now
        if partition in self._led:
            self.idle.append(partition)

    def failed(self, partition: int) -> None:
        """The partition's batch was refused: nothing more may be sent on this connection."""
        del self._awaited[partition]
        self.broken = True

    def follow(self, partitions: TopicPartitions, now: float) -> None:
        """Uses partitions that were added or have a leader again, and no longer those without one."""
        if partitions.led != self._led:
            # A batch that could not go anywhere until now gets its time anew.
            for partition in self._awaited.keys() & (partitions.led - self._led):
                self._awaited[partition] = now
            kept = [partition for partition in self.idle if partition in partitions.led]
            self.idle = deque([*kept, *sorted(partitions.led.difference(kept, self._awaited))])
            self._led = partitions.led
        self.existing |= partitions.existing

    def oldest_batch_at(self) -> float | None:
        """Since when the oldest batch is awaited that has a leader to take it; None when there is none."""
        return min((at for partition, at in self._awaited.items() if partition in self._led), default=None)

    def silent_since(self) -> float | None:
        """Since when a batch is awaited and none is acknowledged; None when none is awaited."""
        oldest = self.oldest_batch_at()
        return None if oldest is None else max(oldest, self._acknowledged_at)
