"""What is asked for: which events, and which page of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from ingest_gateway.contract import unix_us

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# Of messages and attributes in one answer: it ends with the event that reaches this.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Events with `start <= ts < end`. `severities` are codes, sorted; empty means all. `source` is matched whole."""

    start: datetime
    end: datetime
    severities: tuple[int, ...] = ()
    source: str | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for less than everything in its range."""
        return bool(self.severities) or self.source is not None

    def fingerprint(self) -> bytes:
        """Eight bytes that are the same exactly for filters that mean the same."""
        parts = (unix_us(self.start), unix_us(self.end), self.severities, self.source)
        return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: its last event, and the total as it was counted for the first page.

    The total is carried and not counted again for each page: walking through a large result costs then what the pages
    cost. It stays exact as of `total_complete_until_us` (None: it was not known how complete the count was).
    """

    ts: datetime
    id: UUID
    total: int
    total_complete_until_us: int | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page, newest first. At most one of `cursor` and `offset` is used."""

    filter: SearchFilter
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cursor: Cursor | None = None
