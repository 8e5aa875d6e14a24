"""The newest events: from the lists in Redis while these are whole and fresh, else from PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from ingest_gateway.contract import moment_of, unix_us
from query_api.positions import StoredUntil
from query_api.reading import EventReader, LoggedEvent
from query_api.search import MAX_ANSWER_BYTES
from stream_app.contract import MAX_RECENT_AHEAD_S

# The stream application moves `stored_until` each second while it lives.
MAX_AGE: Final = timedelta(seconds=2)
# Ends a stub and never an event, whose last field is `attributes` (two braces) or a time.
_STUB_END: Final = b'"large":true}'


@dataclass(frozen=True, slots=True)
class RecentLists:
    """Members of the recent lists, newest first: events as JSON, or stubs of large ones."""

    stored_until_us: StoredUntil
    members: Sequence[bytes]


class RecentSource(Protocol):
    """The lists; None when they are not whole or nobody answers."""

    async def recent_lists(self, severities: Sequence[int], limit: int) -> RecentLists | None: ...


class _Stub(msgspec.Struct):
    id: UUID
    timestamp: datetime
    large: bool


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """The newest events, each as JSON, and where they came from."""

    logs: Sequence[msgspec.Raw | LoggedEvent]
    stored_until_us: StoredUntil
    served_from: str


_stub: Final = msgspec.json.Decoder(_Stub)


class RecentReader:
    """Answers from Redis where that is as good as PostgreSQL's own answer."""

    def __init__(
        self,
        source: RecentSource,
        events: EventReader,
        partitions: Callable[[], Collection[int] | None],
        now: Callable[[], datetime],
    ) -> None:
        """`partitions` names those of the topic, or None while they are not known."""
        self._source = source
        self._events = events
        self._partitions = partitions
        self._now = now

    async def recent(self, severities: Sequence[int], limit: int) -> RecentEvents:
        """The newest events of these severities (empty: all). Raises what EventReader raises."""
        now = self._now()
        lists = await self._source.recent_lists(severities, limit)
        if lists is not None and self._is_fresh(lists.stored_until_us, now):
            whole = await self._with_large_ones(lists.members)
            if whole is not None:
                return RecentEvents(whole, lists.stored_until_us, "redis")
        page = await self._events.recent(severities, now + timedelta(seconds=MAX_RECENT_AHEAD_S), limit)
        return RecentEvents(page.events, page.stored_until_us, "postgres")

    def _is_fresh(self, stored_until_us: StoredUntil, now: datetime) -> bool:
        partitions = self._partitions()
        if not partitions or not set(partitions) <= stored_until_us.keys():
            return False
        return moment_of(min(stored_until_us.values())) >= now - MAX_AGE

    async def _with_large_ones(self, members: Sequence[bytes]) -> list[msgspec.Raw | LoggedEvent] | None:
        """The members with stubs replaced by their events, as many as an answer may hold.

        None when one is not stored any more.
        """
        try:
            stubs = {member: _stub.decode(member) for member in members if member.endswith(_STUB_END)}
        except msgspec.DecodeError:
            return None
        if not stubs:
            return [msgspec.Raw(member) for member in members]
        found = await self._events.events([(stub.timestamp, stub.id) for stub in stubs.values()])
        by_key = {(unix_us(event.timestamp), event.id): event for event in found}
        whole: list[msgspec.Raw | LoggedEvent] = []
        size = 0
        for member in members:
            if size >= MAX_ANSWER_BYTES:
                break
            stub = stubs.get(member)
            event = None if stub is None else by_key.get((unix_us(stub.timestamp), stub.id))
            if stub is not None and event is None:
                return None
            size += len(member) if event is None else event.size_bytes()
            whole.append(event or msgspec.Raw(member))
        return whole
