"""The dead letters in PostgreSQL, as an operator looks for them and settles them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stream_app.dead_letter import DeadLetter
from stream_app.postgres_store import PostgresStore

_COLUMNS: Final = """partition, "offset", reason, detail, key, payload, headers::text AS headers,
    (extract(epoch FROM appended_at) * 1000)::bigint AS appended_ms, appended_at, settled_at, settled_as,
    redriven_partition, redriven_offset"""
_FIND: Final = f"""
    SELECT {_COLUMNS} FROM dead_letters
    WHERE topic = $1 AND ($2 OR settled_at IS NULL) AND ($3::text IS NULL OR reason = $3)
      AND ($4::int IS NULL OR partition = $4) AND ($5::bigint IS NULL OR "offset" = $5)
      AND ($6::timestamptz IS NULL OR stored_at >= $6)
    ORDER BY partition, "offset" LIMIT $7"""  # noqa: S608 - constants
_REDRIVEN: Final = """
    UPDATE dead_letters SET settled_at = clock_timestamp(), settled_as = 'redriven',
        redriven_partition = $4, redriven_offset = $5
    WHERE topic = $1 AND partition = $2 AND "offset" = $3"""
_DISCARDED: Final = """
    UPDATE dead_letters SET settled_at = clock_timestamp(), settled_as = 'discarded'
    FROM unnest($2::int[], $3::bigint[]) AS chosen (p, o)
    WHERE topic = $1 AND partition = chosen.p AND "offset" = chosen.o AND settled_at IS NULL"""
_COUNTS: Final = """
    SELECT reason, count(*) FILTER (WHERE settled_at IS NULL) AS open, count(*) AS n, max(stored_at) AS last
    FROM dead_letters WHERE topic = $1 GROUP BY reason ORDER BY open DESC, reason"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: of a reason, a partition, one offset of it, stored since; those settled too with `settled`."""

    reason: str | None = None
    partition: int | None = None
    offset: int | None = None
    since: datetime | None = None
    settled: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """A letter, and what was done with it: `redriven` to a place, `discarded`, or nothing."""

    letter: DeadLetter
    appended_at: datetime
    settled_at: datetime | None
    settled_as: str | None
    redriven_to: tuple[int, int] | None


class DeadLetterStore:
    """Over the store's connection; every method raises StoreUnavailableError."""

    def __init__(self, store: PostgresStore, topic: str) -> None:
        self._store = store
        self._topic = topic

    async def find(self, wanted: Wanted) -> list[FoundLetter]:
        """In the order of their places, at most `limit`."""
        asked = (wanted.settled, wanted.reason, wanted.partition, wanted.offset, wanted.since, wanted.limit)
        return [_found(row) for row in await self._store.fetch(_FIND, self._topic, *asked)]

    async def counts(self) -> list[tuple[str, int, int, datetime]]:
        """Reason, how many are open, how many there are, and when the last one came; the most frequent first."""
        rows = await self._store.fetch(_COUNTS, self._topic)
        return [(row["reason"], row["open"], row["n"], row["last"]) for row in rows]

    async def settle_redriven(self, letter: DeadLetter, partition: int, offset: int) -> None:
        """It was sent again, and lies there now."""
        async with self._store.session() as connection:
            await connection.execute(_REDRIVEN, self._topic, letter.partition, letter.offset, partition, offset)

    async def settle_discarded(self, letters: Sequence[DeadLetter]) -> None:
        """These are put aside; those settled before stay as they are."""
        places = [letter.partition for letter in letters], [letter.offset for letter in letters]
        async with self._store.session() as connection:
            await connection.execute(_DISCARDED, self._topic, *places)


def _found(row: Any) -> FoundLetter:
    kept = (row["reason"], row["detail"], row["key"], row["payload"], row["appended_ms"], row["headers"])
    place = (row["redriven_partition"], row["redriven_offset"])
    return FoundLetter(
        DeadLetter(row["partition"], row["offset"], *kept),
        row["appended_at"],
        row["settled_at"],
        row["settled_as"],
        None if place[0] is None else place,
    )
