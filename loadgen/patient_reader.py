"""Asks the query API again until an answer comes that holds everything that was acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol, TypeVar

from loadgen.clock import Clock
from loadgen.query_client import Counts, LogReader, Page, QueryFailedError, StoredEvent, TimeRange
from loadgen.verdict import Verdict

POLL_S: Final = 0.2
# Also after the deadline, one answer that fails is no reason to give up a check that has come so far.
_LEAST_PATIENCE_S: Final = 10.0


class _Complete(Protocol):
    @property
    def complete_until(self) -> datetime | None: ...


Answer = TypeVar("Answer")
CompleteAnswer = TypeVar("CompleteAnswer", bound=_Complete)


class PatientReader:
    """Pages, counts and events, each complete up to `needed`; how it went is noted in the verdict.

    Raises QueryFailedError when no answer came until `deadline_s` after the start, nor for some seconds after asking.
    """

    def __init__(self, reader: LogReader, needed: datetime, deadline_s: float, clock: Clock, verdict: Verdict) -> None:
        self._reader: Final = reader
        self._needed: Final = needed
        self._deadline_s: Final = deadline_s
        self._give_up_s: Final = clock.now_s() + deadline_s
        self._clock: Final = clock
        self._verdict: Final = verdict

    async def page(self, within: TimeRange, source: str | None, limit: int, cursor: str | None = None) -> Page:
        return await self._complete(lambda: self._reader.page(within, source, limit, cursor))

    async def counts(self, within: TimeRange) -> Counts:
        return await self._complete(lambda: self._reader.counts(within))

    async def event(self, identifier: str) -> StoredEvent | None:
        return await self._answered(lambda: self._reader.event(identifier))

    async def _complete(self, ask: Callable[[], Awaitable[CompleteAnswer]]) -> CompleteAnswer:
        """The last answer, and a note, when none held everything in time."""
        while True:
            answer = await self._answered(ask)
            if answer.complete_until is not None and answer.complete_until >= self._needed:
                return answer
            if self._clock.now_s() >= self._give_up_s:
                self._verdict.incomplete = (
                    f"complete_until stood at {answer.complete_until} after {self._deadline_s:g} s; "
                    f"the last acknowledgement came at {self._needed}"
                )
                return answer
            await self._clock.sleep_until(self._clock.now_s() + POLL_S)

    async def _answered(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        give_up_s = max(self._give_up_s, self._clock.now_s() + _LEAST_PATIENCE_S)
        while True:
            self._verdict.queries += 1
            try:
                return await ask()
            except QueryFailedError:
                self._verdict.failed_queries += 1
                if self._clock.now_s() >= give_up_s:
                    raise
            await self._clock.sleep_until(self._clock.now_s() + POLL_S)
