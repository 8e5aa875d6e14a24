"""Tells Redis of events that were dated too far ahead for its lists when they were stored, once they come near."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from stream_app.contract import MAX_RECENT_AHEAD_S
from stream_app.mirror_parts import Recent

_AHEAD = timedelta(seconds=MAX_RECENT_AHEAD_S)


class Source(Protocol):
    """Reads from PostgreSQL. Raises StoreUnavailableError."""

    async def recent_between(self, after: datetime, until: datetime) -> Recent: ...


class Mirror(Protocol):
    """Takes members of the recent lists; a repeated one changes nothing."""

    async def add_recent(self, recent: Recent) -> None: ...


class NearEvents:
    """One look a round, at the time that came near since the last one; every worker does it, for all events.

    An event that a window left out was dated after what was near at that moment, and was committed before it: so the
    round in which it comes near is a later one, and finds it.
    """

    def __init__(self, source: Source, mirror: Mirror, now: Callable[[], datetime]) -> None:
        self._source = source
        self._mirror = mirror
        self._now = now
        # The lists are rebuilt after a start, up to here or later.
        self._told_until = now() + _AHEAD

    async def tell(self) -> None:
        """Raises StoreUnavailableError; the next round then begins where this one did."""
        until = self._now() + _AHEAD
        if recent := await self._source.recent_between(self._told_until, until):
            await self._mirror.add_recent(recent)
        self._told_until = until
