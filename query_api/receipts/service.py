"""Answers what became of a record: asks PostgreSQL first, Kafka only for what the tables cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from ingest_gateway.contract import position_in_id, topic_tag
from query_api.completeness import Completeness, Lag
from query_api.kafka_consumer import KafkaUnavailableError
from query_api.parameters import refuse
from query_api.positions import StoredUntil
from query_api.reading import LoggedEvent
from query_api.receipts import verdict
from query_api.receipts.record_lookup import Found
from query_api.receipts.request import AtPlace, OfEvent
from query_api.receipts.store import DeadLetterOf, Known, LostSpan
from query_api.receipts.verdict import EventPlace, Status, Verdict
from query_api.tail.live_event import EventDecoder

_encode: Final = msgspec.json.Encoder().encode


class ReceiptStore(Protocol):
    """PostgreSQL. Raises StoreUnavailableError or QueryTimeoutError."""

    async def known(self, partition: int, offset: int) -> Known: ...
    async def event(self, identifier: UUID, ts: datetime) -> tuple[LoggedEvent | None, StoredUntil]: ...


class Records(Protocol):
    """Kafka. Raises KafkaUnavailableError."""

    async def record(self, partition: int, offset: int) -> Found: ...


class EventsById(Protocol):
    """Events by their id alone. Raises StoreUnavailableError or QueryTimeoutError."""

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]: ...


class LagView(Protocol):
    """What is known about completeness without asking anyone."""

    def completeness(self, stored_until_us: StoredUntil) -> Completeness: ...
    def lag(self) -> Lag: ...


class ReceiptAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/receipts. `event` is what the record is, or will be."""

    status: Status
    detail: str
    known_by: str
    partition: int | None
    offset: int | None
    event: EventPlace | None
    duplicate_of: EventPlace | None
    dead_letter: DeadLetterOf | None
    lost: LostSpan | None
    complete_until: datetime | None
    incomplete_reason: str | None
    lag: Lag


@dataclass(frozen=True, slots=True)
class Receipts:
    """Over the store, Kafka and the events; `topic` is part of ids made of a position."""

    store: ReceiptStore
    records: Records
    events: EventsById
    decoder: EventDecoder
    lag: LagView
    topic: str

    async def answer(self, asked: AtPlace | OfEvent) -> bytes:
        """The JSON. Raises Problem for a partition that there is not, and what the store raises."""
        if isinstance(asked, AtPlace):
            found, until = await self._at(asked)
            return self._body(asked, found, until)
        event, until = await self.events.event(asked.id, asked.ts)
        if event is not None:
            place = verdict.place_of(event)
            return self._body(None, Verdict("stored", "an event with this id is stored", "logs", place), until)
        position = position_in_id(asked.id.bytes, topic_tag(self.topic))
        if position is not None:
            at = AtPlace(*position)
            known = await self.store.known(at.partition, at.offset)
            found = await self._judged(at, known, asked.id)
            # An id that only looks as if it were made of a position says nothing of what lies there.
            if found.event is not None and found.event.id == asked.id:
                return self._body(at, found, known.stored_until_us)
        detail = (
            "no event with this id is stored; one that was accepted after `complete_until` may wait in Kafka, and what"
            " became a dead letter is found by partition and offset"
        )
        return self._body(None, Verdict("unknown", detail, "logs"), until)

    async def _at(self, place: AtPlace) -> tuple[Verdict, StoredUntil]:
        known = await self.store.known(place.partition, place.offset)
        return verdict.by_tables(known) or await self._judged(place, known), known.stored_until_us

    async def _judged(self, place: AtPlace, known: Known, of_id: UUID | None = None) -> Verdict:
        """By the record itself. The tables were read before, so what they say is stored is seen afterwards."""
        try:
            found = await self.records.record(place.partition, place.offset)
        except KafkaUnavailableError as error:
            return verdict.without_kafka(known, place.offset, str(error))
        if place.partition >= found.partitions and known.next_offset is None:
            if of_id is not None:
                return Verdict("unknown", "no such partition", "kafka")
            raise refuse("partition", f"0 to {found.partitions - 1}", str(place.partition))
        live = None if found.record is None else self.decoder.event_of(place.partition, found.record)
        event = None if live is None else live.logged()
        if known.next_offset is None or place.offset >= known.next_offset:
            return verdict.not_yet_stored(place.offset, found, event)
        stored = None if event is None else (await self.store.event(event.id, event.timestamp))[0]
        return verdict.settled(place.offset, found, event, stored)

    def _body(self, place: AtPlace | None, found: Verdict, until: StoredUntil) -> bytes:
        complete = self.lag.completeness(until)
        return _encode(
            ReceiptAnswer(
                found.status,
                found.detail,
                found.known_by,
                None if place is None else place.partition,
                None if place is None else place.offset,
                found.event,
                found.duplicate_of,
                found.dead_letter,
                found.lost,
                complete.complete_until,
                complete.reason,
                self.lag.lag(),
            )
        )
