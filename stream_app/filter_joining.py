"""Joins the small word filters that windows left, so that a search asks a few large ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from ingest_gateway.contract import unix_us
from stream_app.contract.word_filters import slice_bytes
from stream_app.partitions import ADVISORY_LOCK, Sessions
from stream_app.word_filter import HOUR_US, WordFilter, adding, columns_of
from stream_app.word_filters import joined

# An hour still being written is joined by so many at once, so that what was joined is not joined anew for each.
_MANY: Final = 8
_MOST_AT_ONCE: Final = 2_000
_MOST_BYTES_AT_ONCE: Final = 32 * 1024 * 1024
_MOST_BYTES: Final = 512 * 1024
# Late events have mostly come by then.
_SETTLED: Final = timedelta(days=1)

SMALL: Final = """
SELECT ctid, first_ts, last_ts, events, bounds, slices FROM (
    SELECT *, sum(octet_length(slices)) OVER (ORDER BY last_ts, ctid) AS bytes FROM (
        SELECT ctid, first_ts, last_ts, events, bounds, slices FROM log_word_filters
        WHERE NOT is_final ORDER BY last_ts, ctid LIMIT $1
    ) AS small
) AS added_up WHERE bytes <= $2 ORDER BY last_ts, ctid"""
REMOVE: Final = "DELETE FROM log_word_filters WHERE ctid = ANY($1::tid[])"
ADD: Final = adding(1)
SETTLE: Final = "UPDATE log_word_filters SET is_final = true WHERE ctid = ANY($1::tid[])"


@dataclass(frozen=True, slots=True)
class Kept:
    """A filter, and where PostgreSQL keeps it."""

    place: Any
    filter: WordFilter


class FilterJoining:
    """For any worker; several may. A search finds either the small ones or the one they became."""

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now

    async def join(self) -> None:
        """Joins what there is to join, unless another worker is at it. Raises StoreUnavailableError."""
        async with self._sessions.session() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", ADVISORY_LOCK + 5):
                return
            small = [_kept(row) for row in await connection.fetch(SMALL, _MOST_AT_ONCE, _MOST_BYTES_AT_ONCE)]
            for group in groups(small):
                if group.is_due(unix_us(self._now())):
                    await connection.execute(ADD, *columns_of([joined([kept.filter for kept in group.kept])]))
                    await connection.execute(REMOVE, [kept.place for kept in group.kept])
                    await asyncio.sleep(0)
            settled_until = unix_us(self._now() - _SETTLED)
            alone = [group.kept[0].place for group in groups(small) if group.stays_alone(settled_until)]
            if alone:
                await connection.execute(SETTLE, alone)


@dataclass(frozen=True, slots=True)
class Group:
    """Filters of one hour that one may hold; it `is_full` where the next one would be too much."""

    kept: Sequence[Kept]
    is_full: bool = False

    def is_due(self, now_us: int) -> bool:
        """Whether joining them is worth it now."""
        return len(self.kept) >= _MANY or (len(self.kept) > 1 and (self.is_full or self.end_us <= now_us))

    def stays_alone(self, settled_until_us: int) -> bool:
        """Whether nothing more is to be expected for the only one."""
        return len(self.kept) == 1 and (self.is_full or self.end_us <= settled_until_us)

    @property
    def end_us(self) -> int:
        """Of the hour."""
        return (self.kept[0].filter.first_us // HOUR_US + 1) * HOUR_US


def groups(kept: Iterable[Kept]) -> Iterator[Group]:
    """In the order of time."""
    for _, of_hour in groupby(kept, lambda one: one.filter.first_us // HOUR_US):
        group: list[Kept] = []
        places = blocks = 0
        for one in of_hour:
            places, blocks = max(places, one.filter.places), blocks + one.filter.blocks
            if group and places * slice_bytes(blocks) > _MOST_BYTES:
                yield Group(group, is_full=True)
                group, places, blocks = [], one.filter.places, one.filter.blocks
            group.append(one)
        yield Group(group)


def _kept(row: Any) -> Kept:
    part = WordFilter(unix_us(row["first_ts"]), unix_us(row["last_ts"]), row["events"], row["bounds"], row["slices"])
    return Kept(row["ctid"], part)
