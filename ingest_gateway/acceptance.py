"""The gateway's decision on each event: kept as a Kafka record with an id, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from ingest_gateway.contract import (
    EventLimits,
    ReceivedEvent,
    RejectedEventError,
    WrittenRecord,
    check_event,
    encode_record,
    time_of_id,
)
from ingest_gateway.event_ids import IdSource


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
