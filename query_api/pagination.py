"""The opaque `cursor` of a page: a few packed bytes, checked when they come back."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import Final
from uuid import UUID

from ingest_gateway.contract import EARLIEST, LATEST, moment_of, unix_us
from query_api.search import Cursor, SearchFilter

# Version, fingerprint of the filter, time in us, id, total, complete_until of the total in us; then a CRC-32.
_FIELDS: Final = struct.Struct(">B8sq16sqq")
_CHECKSUM: Final = struct.Struct(">I")
_VERSION: Final = 1
_UNKNOWN: Final = -(1 << 63)
_NO_TOTAL: Final = -1
_MAX_CHARS: Final = 200
# More than can be stored, and exact in every reader of JSON.
_MAX_TOTAL: Final = 1 << 53
_UNTIL_US: Final = range(unix_us(EARLIEST), unix_us(LATEST) + 1)


class BadCursorError(ValueError):
    """The text is no cursor of this query; says why."""


def encode_cursor(cursor: Cursor, of: SearchFilter) -> str:
    """The text for the next request; it fits this filter only."""
    until_us = _UNKNOWN if cursor.total_complete_until_us is None else cursor.total_complete_until_us
    total = _NO_TOTAL if cursor.total is None else cursor.total
    packed = _FIELDS.pack(_VERSION, of.fingerprint(), unix_us(cursor.ts), cursor.id.bytes, total, until_us)
    return base64.urlsafe_b64encode(packed + _CHECKSUM.pack(zlib.crc32(packed))).rstrip(b"=").decode("ascii")


def decode_cursor(text: str, of: SearchFilter) -> Cursor:
    """The cursor in a request with this filter. Raises BadCursorError."""
    packed = _unpacked(text)
    version, fingerprint, ts_us, identifier, total, until_us = _FIELDS.unpack(packed)
    if version != _VERSION:
        raise BadCursorError("it was made by another version; start again without it")
    if fingerprint != of.fingerprint():
        raise BadCursorError("it belongs to a query with other start_time, end_time, severity, source or q")
    # The checksum is no signature: anyone can make such a text.
    in_range = unix_us(of.start) <= ts_us < unix_us(of.end) and _NO_TOTAL <= total <= _MAX_TOTAL
    if not in_range or (until_us != _UNKNOWN and until_us not in _UNTIL_US):
        raise BadCursorError("it is not what `next_cursor` gave")
    known_total = None if total == _NO_TOTAL else total
    return Cursor(moment_of(ts_us), UUID(bytes=identifier), known_total, None if until_us == _UNKNOWN else until_us)


def _unpacked(text: str) -> bytes:
    if len(text) > _MAX_CHARS:
        raise BadCursorError("it is too long")
    try:
        content = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadCursorError("it is not what `next_cursor` gave") from None
    packed, checksum = content[: _FIELDS.size], content[_FIELDS.size :]
    if len(packed) != _FIELDS.size or checksum != _CHECKSUM.pack(zlib.crc32(packed)):
        raise BadCursorError("it is not what `next_cursor` gave")
    return packed
