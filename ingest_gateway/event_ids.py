"""The ids that the gateway gives: by time and chance, or by Idempotency-Key, index and event."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Final, Protocol
from uuid import UUID

from ingest_gateway.contract import EPOCH, ReceivedEvent, id_of_digest, unix_us
from threatlog.process.problems import Problem

MAX_KEY_CHARS: Final = 255
# Ten bytes hold the 74 random bits of a version-7 id; a request needs them once.
RANDOM_BYTES: Final = 10
_MAX_48: Final = (1 << 48) - 1
# Added before `hex` so that all twelve digits appear; `hex` and slices take a third of the time of a format.
_BIT_48: Final = 1 << 48


class IdSource(Protocol):
    """Gives the event at `index` of a request its id."""

    needs_timestamp: bool

    def id_of(self, index: int, timestamp: datetime, severity: str, event: ReceivedEvent) -> UUID | str:
        """The id whose first 48 bits are the event's time in milliseconds. `severity` is the canonical one."""


class TimeOrderedIds:
    """Version-7 ids (RFC 9562, section 5.7) with the EVENT's time, so that an event is found by its id alone.

    The 74 other bits are random for each request and count upwards within it (section 6.2, method 2): two requests meet
    with a chance of 2**-74 for each pair of events in the same millisecond, and an id costs half a microsecond.
    """

    needs_timestamp = False

    def __init__(self, random_bytes: bytes) -> None:
        bits = int.from_bytes(random_bytes[:RANDOM_BYTES], "big")
        # Version, 12 bits, variant, 14 bits: the same for a request. The last 48 bits count.
        self._middle = f"-7{bits >> 62 & 0xFFF:03x}-{0x8000 | bits >> 48 & 0x3FFF:04x}-"
        self._first = bits & _MAX_48

    def id_of(self, index: int, timestamp: datetime, severity: str, event: ReceivedEvent) -> str:  # noqa: ARG002
        """The id as text."""
        since = timestamp - EPOCH
        ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
        if not 0 <= ms <= _MAX_48:
            ms = 0
        time_digits = hex(ms + _BIT_48)
        count_digits = hex((self._first + index & _MAX_48) + _BIT_48)
        return f"{time_digits[3:11]}-{time_digits[11:]}{self._middle}{count_digits[3:]}"


class IdempotentIds:
    """Version-8 ids from an Idempotency-Key, the index and the event: the same request always means the same ids.

    The event is part of it so that a key used twice for different events loses none of them.
    """

    needs_timestamp = True

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key + b"\0", digest_size=16)

    def id_of(self, index: int, timestamp: datetime, severity: str, event: ReceivedEvent) -> UUID:
        """The id; the same for the same key, index, timestamp and event."""
        digest = self._keyed.copy()
        digest.update(index.to_bytes(4, "big"))
        # None of these holds U+0000, so no two events look alike.
        digest.update(f"{severity}\0{event.source}\0{event.message}\0".encode())
        digest.update(event.attributes)
        return id_of_digest(unix_us(timestamp), digest.digest())


def idempotency_key(header: bytes | None) -> bytes | None:
    """The key a request carries. Raises Problem 400 when it is empty, too long or not printable ASCII."""
    if header is None:
        return None
    key = header.strip()
    if not 0 < len(key) <= MAX_KEY_CHARS or not all(0x20 <= byte < 0x7F for byte in key):
        raise Problem(
            400, "bad_idempotency_key", f"Idempotency-Key must be 1 to {MAX_KEY_CHARS} printable ASCII characters"
        )
    return key
