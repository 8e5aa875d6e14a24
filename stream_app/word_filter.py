"""One row of `log_word_filters`: which words some blocks of neighbouring events hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ingest_gateway.contract import moment_of
from stream_app.contract.word_filters import slice_bytes

if TYPE_CHECKING:
    from stream_app.prepare import Prepared, Row

HOUR_US: Final = 3_600_000_000
_COLUMNS: Final = {
    "first_ts": "timestamptz",
    "last_ts": "timestamptz",
    "events": "bigint",
    "bounds": "bytea",
    "slices": "bytea",
    "is_final": "boolean",
}
# A smaller one is joined with others until it has so many blocks, or is so large.
_FINAL_BLOCKS: Final = 64
_FINAL_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class WordFilter:
    """One row: blocks of one hour, and their words. Times are microseconds since 1970, the last ones inclusive.

    `slices` has the bits of all blocks for each place, one after the other; `events` is how many are stored in them.
    """

    first_us: int
    last_us: int
    events: int
    bounds: bytes
    slices: bytes

    @property
    def blocks(self) -> int:
        """How many."""
        return len(self.bounds) // 16

    @property
    def places(self) -> int:
        """How many places the filter of a block has."""
        return len(self.slices) // slice_bytes(self.blocks)

    @property
    def is_final(self) -> bool:
        """Whether it is large enough to stay as it is."""
        return self.blocks >= _FINAL_BLOCKS or len(self.slices) >= _FINAL_BYTES


def stored_filters(prepared: Prepared, rows: Sequence[Row]) -> Sequence[WordFilter]:
    """The filters of a window of which these rows were inserted: what others said is a word too many, and no fault."""
    if len(rows) == len(prepared.rows):
        return prepared.word_filters
    stored = Counter(row.ts_us // HOUR_US for row in rows)
    counted = (replace(part, events=stored[part.first_us // HOUR_US]) for part in prepared.word_filters)
    return [part for part in counted if part.events]


def adding(first: int) -> str:
    """The statement that adds filters, whose columns are the arguments from this one on, as `columns_of` gives them."""
    columns = ", ".join(f"${first + at}::{kind}[]" for at, kind in enumerate(_COLUMNS.values()))
    return f"INSERT INTO log_word_filters ({', '.join(_COLUMNS)}) SELECT * FROM unnest({columns})"  # noqa: S608


def columns_of(filters: Sequence[WordFilter]) -> tuple[list[Any], ...]:
    """The columns of the table."""
    return (
        [moment_of(part.first_us) for part in filters],
        [moment_of(part.last_us) for part in filters],
        [part.events for part in filters],
        [part.bounds for part in filters],
        [part.slices for part in filters],
        [part.is_final for part in filters],
    )
