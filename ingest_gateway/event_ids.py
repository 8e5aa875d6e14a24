"""The ids that the gateway gives: by time and chance, or by an Idempotency-Key and the place in the request."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Final, Protocol
from uuid import UUID

from ingest_gateway.contract import id_of_digest, unix_us
from threatlog.process.problems import Problem

MAX_KEY_CHARS: Final = 255
# Ten bytes hold the 74 random bits of one version-7 id.
RANDOM_BYTES_PER_ID: Final = 10
_MAX_48: Final = (1 << 48) - 1
# RFC 9562 sets the two high bits of this hexadecimal digit to 10.
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class IdSource(Protocol):
    """Gives the event at `index` of a request its id."""

    needs_timestamp: bool

    def id_of(self, index: int, timestamp: datetime) -> UUID | str:
        """The id whose first 48 bits are the event's time in milliseconds."""


class TimeOrderedIds:
    """Version-7 ids (RFC 9562, section 5.7) with the EVENT's time, so that an event is found by its id alone."""

    needs_timestamp = False

    def __init__(self, random_bytes: bytes) -> None:
        self._random = random_bytes.hex()
        self._last: datetime | None = None
        self._head = ""

    def id_of(self, index: int, timestamp: datetime) -> str:
        """The id as text; `index` picks its share of the random bytes."""
        # Events without a time of their own share the same `now`.
        if timestamp is not self._last:
            time_bits = f"{min(max(unix_us(timestamp) // 1000, 0), _MAX_48):012x}"
            self._head = f"{time_bits[:8]}-{time_bits[8:]}-7"
            self._last = timestamp
        start = index * 2 * RANDOM_BYTES_PER_ID
        share = self._random[start : start + 2 * RANDOM_BYTES_PER_ID]
        return f"{self._head}{share[:3]}-{_VARIANT[share[3]]}{share[4:7]}-{share[7:19]}"


class IdempotentIds:
    """Version-8 ids from an Idempotency-Key and the index: the same request always means the same ids."""

    needs_timestamp = True

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key + b"\0", digest_size=16)

    def id_of(self, index: int, timestamp: datetime) -> UUID:
        """The id; the same for the same key, index and timestamp."""
        digest = self._keyed.copy()
        digest.update(index.to_bytes(4, "big"))
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
