"""Learns counts by source beside the answers, so that the next ones are quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from query_api.postgres_sessions import PostgresSessions
from query_api.reading import QueryTimeoutError, StoreUnavailableError
from query_api.search import SearchFilter
from query_api.source_memory import SourceMemory

# Between two times of learning, which take about as long: questions come first.
_PAUSE_S: Final = 0.02
# So much is remembered of what was not asked for yet: most questions are of days.
_AHEAD: Final = timedelta(days=7)


class SourceLearning:
    """By one connection at most."""

    def __init__(
        self, sessions: PostgresSessions, topic: str, memory: SourceMemory, now: Callable[[], datetime]
    ) -> None:
        self._sessions = sessions
        self._topic = topic
        self._memory = memory
        self._now = now
        self._task: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether something is being learned."""
        return self._task is not None and not self._task.done()

    def begin(self) -> None:
        """After an answer: what it showed to be worth it is learned in the background."""
        if self._memory.is_to_learn and not self.is_under_way:
            self._task = asyncio.create_task(self._learn())

    async def ahead(self) -> None:
        """The last week, as if it had been asked for; what is known of it costs nothing. Where PostgreSQL cannot be
        asked now, the next question does it.
        """
        now = self._now()
        with suppress(StoreUnavailableError, QueryTimeoutError):
            async with self._sessions.session() as session:
                await self._memory.by_source(session, SearchFilter(now - _AHEAD, now), self._topic, now)
            self.begin()

    async def _learn(self) -> None:
        # The next question gives another chance.
        with suppress(StoreUnavailableError, QueryTimeoutError):
            while self._memory.is_to_learn:
                async with self._sessions.session() as session:
                    await self._memory.learn(session)
                await asyncio.sleep(_PAUSE_S)
