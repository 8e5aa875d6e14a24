"""Times as microseconds, and the ids that ThreatLog makes from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def unix_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment, exact."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(us: int) -> datetime:
    """The aware UTC moment of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)


# Every id that ThreatLog makes has its event's time in the first 48 bits, as RFC 9562 lays out versions 7 and 8, so
# that one event is found by its id alone through the index on (ts, id).
_MAX_48: Final = (1 << 48) - 1


def _time_bits(us: int) -> int:
    return min(max(us // 1000, 0), _MAX_48) << 80


def id_of_position(us: int, partition: int, offset: int, topic_tag: int) -> bytes:
    """The id (16 bytes, version 8) of a direct record that brought none: the same record always gets the same."""
    low = (offset & ((1 << 46) - 1)) << 16 | (topic_tag & 0xFFFF)
    return (_time_bits(us) | 8 << 76 | (partition & 0xFFF) << 64 | 2 << 62 | low).to_bytes(16, "big")


def id_of_digest(us: int, digest: bytes) -> UUID:
    """The id (version 8) of the event under an Idempotency-Key, from its time and 16 bytes of digest."""
    bits = int.from_bytes(digest[:16], "big")
    return UUID(int=_time_bits(us) | 8 << 76 | (bits >> 68 & 0xFFF) << 64 | 2 << 62 | bits & ((1 << 62) - 1))


def time_of_id(identifier: UUID) -> datetime | None:
    """The moment inside a version-7 id, to the millisecond; None for any other version or a time out of range."""
    milliseconds = identifier.int >> 80
    if identifier.version != 7 or milliseconds > 253_402_128_000_000:
        return None
    return EPOCH + timedelta(milliseconds=milliseconds)
