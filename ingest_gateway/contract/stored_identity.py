"""Which event a record is once it is stored: its id, time and receipt, the same for whoever reads the record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zlib import crc32

import msgspec

from ingest_gateway.contract.checks import EARLIEST, EventLimits, check_event
from ingest_gateway.contract.identity import id_of_position, time_of_id, unix_us
from ingest_gateway.contract.record import EventRecord, decode_record
from ingest_gateway.contract.rejection import RejectedEventError

# Kafka's times are whole milliseconds: within one, a receipt may look later than the append that followed it.
APPEND_PRECISION_US: Final = 999


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies, and when the broker appended it, in milliseconds since 1970."""

    partition: int
    offset: int
    appended_ms: int


class StoredIdentity(msgspec.Struct, frozen=True, gc=False):
    """Time and receipt in microseconds since 1970; the id as 16 bytes."""

    ts_us: int
    id: bytes
    received_us: int


def topic_tag(topic: str) -> int:
    """What ids made of a position hold of the topic."""
    return crc32(topic.encode())


def check_rarities(event: EventRecord, size_bytes: int, limits: EventLimits) -> None:
    """What few records need: those without a timestamp, and those larger than may be. Raises RejectedEventError."""
    if size_bytes > limits.max_event_bytes:
        raise RejectedEventError(
            "event_too_large", f"the record has over {limits.max_event_bytes} bytes, the most allowed"
        )
    if event.id is not None and event.timestamp is None:
        event.timestamp = time_of_id(event.id)
        if event.timestamp is None:
            raise RejectedEventError(
                "id_without_timestamp", "an event with an id needs a timestamp, unless the id is a version-7 UUID"
            )


def received_us_of(received: datetime | None, appended_us: int) -> int:
    """The receipt that a record names, or the broker's append time, not yet held to each other.

    Raises RejectedEventError for a moment that no answer could hold; only a direct producer can write one.
    """
    if received is None:
        return appended_us
    if received < EARLIEST:
        raise RejectedEventError("bad_timestamp", "received_at is before the year 1 in UTC")
    return unix_us(received)


def stored_identity(event: EventRecord, place: Place, tag: int) -> StoredIdentity:
    """The identity of a checked event. The stream application makes its rows by the same rules, written out for speed.

    Raises RejectedEventError.
    """
    appended_us = place.appended_ms * 1000
    received_us = received_us_of(event.received_at, appended_us)
    # A sender that writes a receipt later than the broker's own is not believed.
    if received_us > appended_us + APPEND_PRECISION_US:
        received_us = appended_us
    ts_us = received_us if event.timestamp is None else unix_us(event.timestamp)
    if event.id is not None:
        return StoredIdentity(ts_us, event.id.bytes, received_us)
    return StoredIdentity(ts_us, id_of_position(ts_us, place.partition, place.offset, tag), received_us)


def read_stored(
    value: bytes | None, place: Place, tag: int, limits: EventLimits
) -> tuple[EventRecord, str, StoredIdentity]:
    """A record as it will be stored: its event, the canonical severity and its identity.

    Raises RejectedEventError where it is no event and becomes a dead letter.
    """
    event = decode_record(value)
    severity = check_event(event, limits)
    size_bytes = len(value or b"")
    if event.timestamp is None or size_bytes > limits.max_event_bytes:
        check_rarities(event, size_bytes, limits)
    return event, severity, stored_identity(event, place, tag)


# Of a UUID: version 8, and the variant of RFC 9562.
_VERSION: Final = 8


def position_in_id(identifier: bytes, tag: int) -> tuple[int, int] | None:
    """Partition (its last twelve bits) and offset in an id made of them; None where it was certainly not.

    Other ids of version 8 look the same once in 65,536: what lies there decides.
    """
    bits = int.from_bytes(identifier, "big")
    if bits >> 76 & 0xF != _VERSION or bits >> 62 & 0b11 != 0b10 or bits & 0xFFFF != tag & 0xFFFF:
        return None
    return bits >> 64 & 0xFFF, bits >> 16 & ((1 << 46) - 1)
