"""What is asked for: which events, and which page of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ingest_gateway.contract import unix_us
from query_api.filter_language.bounds import asks_for_source, is_of_cells, widened
from query_api.filter_language.expressions import EVERYTHING, Expression
from query_api.filter_language.written import written
from query_api.timeline import Window

_MICROSECOND: Final = timedelta(microseconds=1)
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# Of messages and attributes in one answer: it ends with the event that reaches this.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Events with `start <= ts < end`. `severities` are codes, sorted; empty means all. `source` is matched whole.

    `expression` is the rest of what they must be, in the filter language. Where there are `sources`, events of others
    are known not to be wanted: a reader may find that out to be quicker.
    """

    start: datetime
    end: datetime
    severities: tuple[int, ...] = ()
    source: str | None = None
    expression: Expression = EVERYTHING
    sources: tuple[str, ...] = ()

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for less than everything in its range."""
        return bool(self.severities) or self.is_by_source or self.expression != EVERYTHING

    @property
    def is_by_source(self) -> bool:
        """Whether the source matters: counts of all sources cannot answer then."""
        return self.source is not None or bool(self.sources) or asks_for_source(self.expression)

    @property
    def reads_events(self) -> bool:
        """Whether only the events themselves can say which are wanted; otherwise their counts can."""
        return not is_of_cells(self.expression)

    def of_counts(self) -> SearchFilter:
        """What the counts can be asked: nothing that is wanted is left out."""
        return replace(self, expression=widened(self.expression))

    def fingerprint(self) -> bytes:
        """Eight bytes that are the same exactly for filters that mean the same."""
        parts: tuple[object, ...] = (unix_us(self.start), unix_us(self.end), self.severities, self.source)
        if self.expression != EVERYTHING:
            parts += (written(self.expression),)
        return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: its last event, or before `ts` with an id of zeros; and the total as the first page's.

    The total is carried and not counted again for each page: walking through a large result costs then what the pages
    cost. It stays exact as of `total_complete_until_us`. Each is None where it was not known.
    """

    ts: datetime
    id: UUID
    total: int | None
    total_complete_until_us: int | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page, newest first. At most one of `cursor` and `offset` is used."""

    filter: SearchFilter
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cursor: Cursor | None = None


def below_cursor(request: PageRequest) -> Window:
    """The time that is left of the range."""
    wanted, cursor = request.filter, request.cursor
    if cursor is None:
        return Window(wanted.start, wanted.end)
    # No event has an id of zeros, so none of that moment is left: a search that goes on always gets further down.
    left = _MICROSECOND if cursor.id.int else timedelta()
    return Window(wanted.start, min(cursor.ts + left, wanted.end))
