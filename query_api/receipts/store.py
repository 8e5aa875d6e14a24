"""What PostgreSQL knows of a record: how far its partition is stored, and whether it is a dead letter or lost."""

# ruff: noqa: S608 - values go in as arguments; only names of the contract are put together.

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from query_api import sql
from query_api.page_search import event_of, stored_until_of
from query_api.positions import StoredUntil
from query_api.postgres_sessions import PostgresSessions
from query_api.reading import LoggedEvent
from query_api.statement import Statement
from stream_app.contract import CONSUMER_OFFSETS, DEAD_LETTERS, OFFSET_GAPS

_KNOWN: Final = f"""
SELECT c.next_offset, d.reason, d.detail, d.stored_at, d.settled_as, d.redriven_partition, d.redriven_offset,
    g.from_offset, g.to_offset, g.noticed_at
FROM (SELECT $1::text AS topic, $2::int AS partition, $3::bigint AS o) AS asked
LEFT JOIN {CONSUMER_OFFSETS} c ON c.topic = asked.topic AND c.partition = asked.partition
LEFT JOIN {DEAD_LETTERS} d ON d.topic = asked.topic AND d.partition = asked.partition AND d."offset" = asked.o
LEFT JOIN LATERAL (
    SELECT from_offset, to_offset, noticed_at FROM {OFFSET_GAPS}
    WHERE topic = asked.topic AND partition = asked.partition AND from_offset <= asked.o
    ORDER BY from_offset DESC LIMIT 1
) AS g ON g.to_offset > asked.o"""


class DeadLetterOf(msgspec.Struct, frozen=True):
    """Why a record is no event, and what was done about it: redriven to a place, discarded, or nothing."""

    reason: str
    detail: str
    stored_at: datetime
    settled_as: str | None
    redriven_partition: int | None
    redriven_offset: int | None


class LostSpan(msgspec.Struct, frozen=True):
    """Offsets [from_offset, to_offset) that Kafka no longer had when they were to be stored."""

    from_offset: int
    to_offset: int
    noticed_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """`next_offset` is None for a partition that no worker has taken."""

    next_offset: int | None
    dead_letter: DeadLetterOf | None
    lost: LostSpan | None
    stored_until_us: StoredUntil


class PostgresReceipts:
    """Over the connections of queries. Raises StoreUnavailableError or QueryTimeoutError."""

    def __init__(self, sessions: PostgresSessions, topic: str) -> None:
        self._sessions = sessions
        self._topic = topic

    async def known(self, partition: int, offset: int) -> Known:
        """What is known of this record, in one snapshot."""
        async with self._sessions.snapshot() as snapshot:
            (until,) = await snapshot.fetch(sql.stored_until(self._topic))
            (row,) = await snapshot.fetch(Statement(_KNOWN, (self._topic, partition, offset)))
        letter = (row["reason"], row["detail"], row["stored_at"], row["settled_as"])
        place = (row["redriven_partition"], row["redriven_offset"])
        gap = (row["from_offset"], row["to_offset"], row["noticed_at"])
        return Known(
            row["next_offset"],
            None if row["reason"] is None else DeadLetterOf(*letter, *place),
            None if row["from_offset"] is None else LostSpan(*gap),
            stored_until_of(until),
        )

    async def event(self, identifier: UUID, ts: datetime) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event that is stored under this time and id."""
        async with self._sessions.snapshot() as snapshot:
            (until,) = await snapshot.fetch(sql.stored_until(self._topic))
            found = await snapshot.fetch(sql.events([(ts, identifier)]))
        return (event_of(found[0]) if found else None), stored_until_of(until)
