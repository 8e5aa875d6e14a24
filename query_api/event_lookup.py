"""Finds an event by its id alone: at the time that most ids begin with, else in the hours where others may be."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ingest_gateway.contract import EPOCH
from query_api import sql
from query_api.absent_ids import KEPT_S, AbsentIds
from query_api.page_search import event_of, stored_until_of
from query_api.positions import StoredUntil
from query_api.postgres_sessions import PostgresSessions
from query_api.reading import LoggedEvent, StoreBusyError
from query_api.timeline import days_of

_MILLISECOND: Final = timedelta(milliseconds=1)
# The first 48 bits of any UUID may say anything; this is in the year 9999.
_LAST_MILLISECOND: Final = 253_402_128_000_000


class EventLookup:
    """Looks in PostgreSQL; what was not there is remembered for a while."""

    def __init__(self, queries: PostgresSessions, topic: str, absent_ids: AbsentIds) -> None:
        self._queries = queries
        self._topic = topic
        self._absent_ids = absent_ids

    async def event(self, identifier: UUID, ts: datetime | None) -> tuple[LoggedEvent | None, StoredUntil]:
        """The event with this id.

        1. At `ts`, or in the millisecond that the id begins with, as in every id that ThreatLog makes: an index hit.
        2. Without `ts`: in the hours that hold events whose id does not begin with their time, newest first. Mostly
           there are none. What was absent there is looked for only by 1 for a while, so that asking again and again
           for an event still on its way costs nothing.
        """
        start = ts or EPOCH + timedelta(milliseconds=min(identifier.int >> 80, _LAST_MILLISECOND))
        end = start + (timedelta(microseconds=1) if ts else _MILLISECOND)
        async with self._queries.session() as session:
            (row,) = await session.fetch(sql.with_stored_until(sql.event(identifier, start, end), self._topic))  # 1
        if row["id"] is not None or ts is not None:
            return (None if row["id"] is None else event_of(row)), stored_until_of(row)
        return await self._search_elsewhere(identifier)  # 2

    async def _search_elsewhere(self, identifier: UUID) -> tuple[LoggedEvent | None, StoredUntil]:
        known_absent = self._absent_ids.get(identifier)
        if known_absent is not None:
            return None, known_absent
        searches = self._absent_ids.searches
        under_way = searches.join(identifier, KEPT_S)
        return await (under_way or searches.begin(identifier, self._search_in_turn(identifier)))

    async def _search_in_turn(self, identifier: UUID) -> tuple[LoggedEvent | None, StoredUntil]:
        try:
            async with asyncio.timeout(self._queries.deadline_s):
                await self._absent_ids.one_search_at_a_time.acquire()
        except TimeoutError:
            raise StoreBusyError("others search by id alone now; `timestamp` makes it quick") from None
        try:
            known_absent = self._absent_ids.get(identifier)
            return (None, known_absent) if known_absent is not None else await self._search(identifier)
        finally:
            self._absent_ids.one_search_at_a_time.release()

    async def _search(self, identifier: UUID) -> tuple[LoggedEvent | None, StoredUntil]:
        async with self._queries.snapshot() as snapshot:
            (row,) = await snapshot.fetch(sql.stored_until(self._topic))
            until = stored_until_of(row)
            for window in days_of([row["bucket"] for row in await snapshot.fetch(sql.FOREIGN_ID_HOURS)]):
                if found := await snapshot.fetch(sql.event(identifier, window.start, window.end)):
                    return event_of(found[0]), until
        self._absent_ids.add(identifier, until)
        return None, until
