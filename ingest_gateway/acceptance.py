"""The gateway's decision on each event: kept as a Kafka record with an id, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from ingest_gateway.contract import (
    REJECTION_STATUSES,
    EventLimits,
    ReceivedEvent,
    RejectedEventError,
    WrittenRecord,
    check_event,
    encode_record,
    time_of_id,
)
from ingest_gateway.event_ids import IdSource

# Only the gateway knows who sends, so no record in Kafka is refused for it.
SOURCE_NOT_ALLOWED: Final = "source_not_allowed"
DECISION_STATUSES: Final = MappingProxyType({**REJECTION_STATUSES, SOURCE_NOT_ALLOWED: 403})


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why the item at `index` of a request was refused."""

    index: int
    code: str
    detail: str


@dataclass(slots=True)
class Acceptance:
    """What became of a request's items.

    `values` are the record values of the kept ones, in order; `ids` has one entry for each item, None where refused.
    """

    values: list[bytes] = field(default_factory=list)
    ids: list[UUID | str | None] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def accept(
    items: Sequence[ReceivedEvent | RejectedEventError], limits: EventLimits, received_at: datetime, ids: IdSource
) -> Acceptance:
    """Decides on every item; the bad ones never cost the good ones anything."""
    result = Acceptance()
    for index, item in enumerate(items):
        try:
            if isinstance(item, RejectedEventError):
                raise item
            identifier, _, value = accept_event(item, index, limits, received_at, ids)
        except RejectedEventError as error:
            result.ids.append(None)
            result.rejections.append(Rejection(index, error.code, error.detail))
        else:
            result.ids.append(identifier)
            result.values.append(value)
    return result


def of_sources(
    items: Sequence[ReceivedEvent | RejectedEventError], sources: frozenset[str]
) -> list[ReceivedEvent | RejectedEventError]:
    """The items, with a refusal in the place of each event of a source that the sender's key is not for."""
    return [
        item if isinstance(item, RejectedEventError) or item.source in sources else foreign_source(item.source, sources)
        for item in items
    ]


def foreign_source(source: str, sources: frozenset[str]) -> RejectedEventError:
    """The refusal of an event whose sender may not speak for its source."""
    detail = f"source {source!r} is not one that this API key may send events of: {', '.join(sorted(sources))}"
    return RejectedEventError(SOURCE_NOT_ALLOWED, detail)


def accept_event(
    event: ReceivedEvent, index: int, limits: EventLimits, received_at: datetime, ids: IdSource
) -> tuple[UUID | str, datetime, bytes]:
    """The id, time and Kafka record value of one event. Raises RejectedEventError."""
    severity = check_event(event, limits)
    timestamp = event.timestamp
    identifier: UUID | str | None = event.id
    if timestamp is None:
        timestamp = _own_time(event, received_at, ids)
    if identifier is None:
        identifier = ids.id_of(index, timestamp, severity, event)
    value = encode_record(
        WrittenRecord(
            identifier,
            timestamp,
            severity,
            event.source,
            event.message,
            received_at,
            event.attributes or msgspec.UNSET,
        )
    )
    if len(value) > limits.max_event_bytes:
        raise RejectedEventError(
            "event_too_large",
            f"the event has {len(value)} bytes as a Kafka record; at most {limits.max_event_bytes} are allowed",
        )
    return identifier, timestamp, value


def _own_time(event: ReceivedEvent, received_at: datetime, ids: IdSource) -> datetime:
    """The time of an event that names none. A retry must mean the same time, so "now" will not do for a stable id."""
    if event.id is not None:
        moment = time_of_id(event.id)
        if moment is None:
            raise RejectedEventError(
                "id_without_timestamp", "an event with an `id` needs a `timestamp`, or a version-7 id, which holds one"
            )
        return moment
    if ids.needs_timestamp:
        raise RejectedEventError(
            "id_without_timestamp",
            "under an Idempotency-Key an event needs a `timestamp` or a version-7 `id`, so that a retry means the same",
        )
    return received_at
