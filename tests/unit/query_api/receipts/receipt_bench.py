"""Receipts over a store and a topic in memory."""

from __future__ import annotations

from query_api.receipts.service import LagView, Receipts
from query_api.tail.live_event import EventDecoder
from tests.fakes.kafka_records import LIMITS, TOPIC
from tests.fakes.memory_receipts import MemoryReceiptStore, MemoryRecords
from tests.fakes.memory_topic import MemoryTopic


def receipts_of(store: MemoryReceiptStore, topic: MemoryTopic, lag: LagView) -> Receipts:
    """Answers about both."""
    return Receipts(store, MemoryRecords(topic), store, EventDecoder(TOPIC, LIMITS), lag, TOPIC)
