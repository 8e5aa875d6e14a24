"""Reads PostgreSQL's binary COPY format back, by the section "Binary Format" of PostgreSQL's page on COPY."""

from __future__ import annotations

import struct

SIGNATURE = b"PGCOPY\n\xff\r\n\0"


def decode_copy(payload: bytes) -> list[tuple[bytes | None, ...]]:
    """The fields of every tuple. Raises ValueError where the format is broken."""
    if not payload.startswith(SIGNATURE):
        raise ValueError("no signature")
    flags, extension = struct.unpack_from(">ii", payload, len(SIGNATURE))
    if flags or extension:
        raise ValueError("flags or an extension that were not asked for")
    at = len(SIGNATURE) + 8
    rows: list[tuple[bytes | None, ...]] = []
    while True:
        (count,) = struct.unpack_from(">h", payload, at)
        at += 2
        if count == -1:
            break
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", payload, at)
            at += 4
            if length == -1:
                fields.append(None)
                continue
            field = payload[at : at + length]
            if len(field) != length:
                raise ValueError("a field is cut off")
            fields.append(field)
            at += length
        rows.append(tuple(fields))
    if at != len(payload):
        raise ValueError("bytes after the trailer")
    return rows
