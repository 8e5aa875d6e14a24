"""What PostgreSQL and Kafka say of a record, set by the test."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from query_api.kafka_consumer import KafkaUnavailableError
from query_api.positions import StoredUntil
from query_api.reading import LoggedEvent
from query_api.receipts.record_lookup import Found
from query_api.receipts.store import DeadLetterOf, Known, LostSpan
from tests.fakes.memory_topic import MemoryTopic


class MemoryReceiptStore:
    """Positions, dead letters, gaps and events."""

    def __init__(self) -> None:
        self.next_offsets: dict[int, int] = {}
        self.dead_letters: dict[tuple[int, int], DeadLetterOf] = {}
        self.gaps: dict[int, LostSpan] = {}
        self.stored: dict[tuple[datetime, UUID], LoggedEvent] = {}
        self.stored_until_us: StoredUntil = {}

    def store(self, event: LoggedEvent) -> None:
        """The first one stored wins."""
        self.stored.setdefault((event.timestamp, event.id), event)

    async def known(self, partition: int, offset: int) -> Known:
        """What is known of a record."""
        gap = self.gaps.get(partition)
        is_lost = gap is not None and gap.from_offset <= offset < gap.to_offset
        letter = self.dead_letters.get((partition, offset))
        return Known(self.next_offsets.get(partition), letter, gap if is_lost else None, self.stored_until_us)

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event of this id."""
        for (moment, known), event in self.stored.items():
            if known == identifier and ts in (None, moment):
                return event, self.stored_until_us
        return None, self.stored_until_us


class MemoryRecords:
    """Records of a topic in memory by their place."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic

    async def record(self, partition: int, offset: int) -> Found:
        """The record there."""
        if self._topic.trouble is not None:
            raise KafkaUnavailableError(self._topic.trouble)
        if partition not in self._topic.logs:
            return Found(len(self._topic.logs))
        found = [made for made in self._topic.logs[partition] if made.offset == offset]
        bounds = self._topic.firsts[partition], self._topic.ends[partition]
        return Found(len(self._topic.logs), *bounds, found[0] if found else None)
