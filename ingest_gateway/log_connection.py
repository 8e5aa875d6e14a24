"""What the publisher needs of a connection to Kafka, and the state of its partitions."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ingest_gateway.request_queue import Batch


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

    async def partitions(self) -> frozenset[int]:
        """Asks Kafka for the topic's partitions: the proof that it answers. May take seconds."""

    async def close(self, timeout_s: float) -> None:
        """Sends what is left, within the time; then gives up everything and ends."""


class Line:
    """One connection with its partitions: idle ones, and those with a batch on its way since when."""

    __slots__ = ("broken", "connection", "idle", "known", "records", "sent_at")

    def __init__(self, connection: LogConnection, partitions: frozenset[int]) -> None:
        self.connection = connection
        self.known = set(partitions)
        self.idle = deque(sorted(partitions))
        self.sent_at: dict[int, float] = {}
        self.records = 0
        self.broken = False

    def grow(self, partitions: frozenset[int]) -> None:
        """Uses partitions that were added to the topic."""
        self.idle.extend(sorted(partitions - self.known))
        self.known |= partitions

    def oldest_batch_age_s(self, now: float) -> float:
        """How long the oldest batch has been on its way; 0 when none is."""
        return now - min(self.sent_at.values()) if self.sent_at else 0.0
