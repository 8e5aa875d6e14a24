"""One event as a member of the recent lists: the JSON of an answer, the same bytes each time it is made."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from ingest_gateway.contract import SEVERITIES, moment_of
from stream_app.contract import MAX_RECENT_MEMBER_BYTES
from stream_app.prepare import Row


class RecentEvent(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of an answer, in its order; `attributes` keeps the sender's bytes."""

    id: UUID | str
    timestamp: datetime
    severity: str
    source: str
    message: str
    ingested_at: datetime
    attributes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RecentStub(msgspec.Struct, gc=False):
    """Stands for an event too large to keep in memory; the row is found by (timestamp, id)."""

    id: UUID | str
    timestamp: datetime
    large: bool = True


_encoder: Final = msgspec.json.Encoder()


def member(event: RecentEvent) -> bytes:
    """The member for one event, or for its stub."""
    encoded = _encoder.encode(event)
    if len(encoded) > MAX_RECENT_MEMBER_BYTES:
        return _encoder.encode(RecentStub(event.id, event.timestamp))
    return encoded


def member_of_row(row: Row) -> bytes:
    """The member for a row just stored."""
    event = row.event
    return member(
        RecentEvent(
            UUID(bytes=row.id),
            moment_of(row.ts_us),
            SEVERITIES[row.severity],
            event.source,
            event.message,
            moment_of(row.received_us),
            event.attributes if event.attributes else msgspec.UNSET,
        )
    )
