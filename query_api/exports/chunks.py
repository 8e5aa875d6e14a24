"""The pieces that a file is made of and sent in: what is made, and what is remembered of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from query_api.exports.request import ExportRequest
from query_api.exports.span import Place
from query_api.positions import StoredUntil


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is remembered of a piece that was sent, so that it can be made again.

    `file_bytes` and `file_rows` count from the beginning of the file to its end; `digest` is of all that. `reached` is
    where the next one begins.
    """

    number: int
    file_bytes: int
    file_rows: int
    reached: Place
    digest: bytes
    is_last: bool


def digest_of(content: Sequence[bytes], before: Chunk | None) -> bytes:
    """Of everything up to the end of this content, whose parts follow each other."""
    digest = hashlib.blake2b(before.digest if before else b"", digest_size=16)
    for part in content:
        digest.update(part)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Found:
    """The events of one piece as PostgreSQL gave them, before they are put into the file."""

    slices: Sequence[Mapping[str, Any]]
    rows: int
    reached: Place
    is_last: bool


@dataclass(frozen=True, slots=True)
class StoredExport:
    """An export as every process knows it. `stored_until_us` is how far Kafka was stored when it was asked for."""

    id: str
    request: ExportRequest
    status: str
    reason: str | None
    created_at: datetime
    updated_at: datetime
    events_at_most: int
    last: Chunk | None
    stored_until_us: StoredUntil = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sending:
    """Where an answer begins: behind `before`, and within the next piece `skip` bytes later.

    `parts` is how many pieces it has at most; None for all that are left.
    """

    export: StoredExport
    before: Chunk | None
    skip: int = 0
    most_chunks: int | None = None
