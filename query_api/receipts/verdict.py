"""The verdict about a record, from what PostgreSQL and Kafka say of it: plain decisions over values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from query_api.reading import LoggedEvent
from query_api.receipts.record_lookup import Found
from query_api.receipts.store import DeadLetterOf, Known, LostSpan

Status = Literal["queued", "stored", "duplicate", "dead_lettered", "lost", "unknown"]


class EventPlace(msgspec.Struct, frozen=True):
    """Where an event is found: by its id, or quicker by both; `ingested_at` is when it was accepted."""

    id: UUID
    timestamp: datetime
    ingested_at: datetime


def place_of(event: LoggedEvent) -> EventPlace:
    """Where this event is found."""
    return EventPlace(event.id, event.timestamp, event.ingested_at)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of it, in words too, and who knows it."""

    status: Status
    detail: str
    known_by: str
    event: EventPlace | None = None
    duplicate_of: EventPlace | None = None
    dead_letter: DeadLetterOf | None = None
    lost: LostSpan | None = None


def by_tables(known: Known) -> Verdict | None:
    """Where the tables alone can say it."""
    if known.dead_letter is not None:
        detail = f"the record could not be stored as an event: {known.dead_letter.detail}"
        return Verdict("dead_lettered", detail, "dead_letters", dead_letter=known.dead_letter)
    if known.lost is not None:
        return Verdict(
            "lost", "Kafka no longer had the record when it was to be stored", "offset_gaps", lost=known.lost
        )
    return None


def not_yet_stored(offset: int, found: Found, event: LoggedEvent | None) -> Verdict:
    """Of a record behind all that its partition has stored; `event` is what it will be."""
    if offset < found.first:
        return Verdict("lost", f"Kafka begins at offset {found.first} now, and the record was not stored", "kafka")
    if offset >= found.end:
        return Verdict("unknown", f"there is no such record: its partition ends at offset {found.end}", "kafka")
    if found.record is None:
        return Verdict("unknown", _NO_RECORD, "kafka")
    if event is None:
        return Verdict("queued", "the record waits in Kafka; it is no event, and will be a dead letter", "kafka")
    return Verdict("queued", "the record waits in Kafka until it is stored", "kafka", place_of(event))


_NO_RECORD = "there is no event at this offset: it holds a transaction's marker, or a record of an aborted transaction"
_SETTLED = "storing has passed this offset, and it is neither a dead letter nor lost"


def settled(offset: int, found: Found, event: LoggedEvent | None, stored: LoggedEvent | None) -> Verdict:
    """Of a record that storing has passed. `stored` is what PostgreSQL has under the time and id of its `event`.

    Which of several records with the same time and id was stored is not written down. It was this one where receipt
    and every field are the same; two that are the same in all of it cannot be told apart.
    """
    if event is None:
        return _passed_without_event(offset, found)
    if stored is None:
        detail = f"{_SETTLED}, but its event is no longer there: retention removes days"
        return Verdict("unknown", detail, "logs", place_of(event))
    if stored == event:
        return Verdict("stored", "the event is stored as this record has it", "logs", place_of(stored))
    same = "the same" if _content(stored) == _content(event) else "another"
    detail = f"an event with this time and id was stored before, from another record with {same} content"
    return Verdict("duplicate", detail, "logs", place_of(event), duplicate_of=place_of(stored))


def _passed_without_event(offset: int, found: Found) -> Verdict:
    if offset < found.first:
        detail = (
            f"{_SETTLED}: it was stored, or repeated an event that was; Kafka has it no more, ask by the event's id"
        )
        return Verdict("unknown", detail, "consumer_offsets")
    if offset >= found.end:
        detail = f"its partition ends at offset {found.end}, below what was stored: was the topic made anew?"
        return Verdict("unknown", detail, "kafka")
    if found.record is None:
        return Verdict("unknown", _NO_RECORD, "kafka")
    return Verdict("unknown", f"{_SETTLED}, though by the limits that hold now it is no event", "consumer_offsets")


def _content(event: LoggedEvent) -> tuple[object, ...]:
    attributes = event.attributes
    return (
        event.severity,
        event.source,
        event.message,
        None if isinstance(attributes, msgspec.UnsetType) else bytes(attributes),
    )


def without_kafka(known: Known, offset: int, why: str) -> Verdict:
    """What is left to say while Kafka does not answer."""
    if known.next_offset is not None and offset < known.next_offset:
        detail = f"{_SETTLED}: it was stored, or repeated an event that was; which of both, Kafka would know: {why}"
        return Verdict("unknown", detail, "consumer_offsets")
    return Verdict("unknown", f"it is not stored; whether it waits, Kafka would know: {why}", "consumer_offsets")
