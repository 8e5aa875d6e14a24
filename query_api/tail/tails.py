"""All tails of a process: how many there may be, what they share, and when one of them ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from typing import Final

from query_api.tail.catch_up import MOST_AT_ONCE
from query_api.tail.event_stream import Ending, EventStream
from query_api.tail.figures import TailFigures
from query_api.tail.live_log import LiveLog
from query_api.tail.request import TailRequest
from query_api.tail.session import Session
from threatlog.access.caller import Caller
from threatlog.process.problems import Problem

# A revoked key is known within a second or two in each process, and its tail ends within this after that.
_LOOK_EVERY_S: Final = 1.0
_RETRY_AFTER_S: Final = 10
# Why somebody may tail no longer: a code and a text; None where they may.
Judge = Callable[[Caller], tuple[str, str] | None]


class Tails:
    """Opens streams over one live log. Without a `judge` anybody may tail for ever."""

    def __init__(self, live: LiveLog, figures: TailFigures, most: int, judge: Judge | None = None) -> None:
        self._live = live
        self._figures = figures
        self._most = most
        self._judge = judge
        # By the caller's key; without keys all are one caller's, who may have all.
        self._open: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._catching_up = asyncio.Semaphore(MOST_AT_ONCE)
        figures.watch(self._open.total)

    def stop(self) -> None:
        """The process ends: so does every tail, now."""
        self._stopping.set()

    def stream(self, request: TailRequest, caller: Caller) -> EventStream:
        """The answer to a request. Raises Problem 503 where there are too many, 429 where too many are one key's."""
        if self._stopping.is_set():
            raise Problem(503, "stopping", "this process is stopping")
        self._find_place(caller)
        session = Session(request, self._live, self._catching_up, self._figures)
        return EventStream(session.pieces, lambda: self._ending(caller), lambda: self._closed(caller))

    def _find_place(self, caller: Caller) -> None:
        problem = None
        of_one_key = ceil(self._most / 2)
        if self._open.total() >= self._most:
            detail = f"this process has all the {self._most} tails it may have (query.max_tails)"
            problem = Problem(503, "too_many_tails", detail, _RETRY_AFTER_S)
        elif not caller.anonymous and self._open[caller.key_id] >= of_one_key:
            detail = f"the key {caller.name} has {of_one_key} tails here, half of query.max_tails, and may have no more"
            problem = Problem(429, "too_many_tails_of_key", detail, _RETRY_AFTER_S)
        if problem is not None:
            self._figures.refused()
            raise problem
        self._open[caller.key_id] += 1

    def _closed(self, caller: Caller) -> None:
        self._open[caller.key_id] -= 1
        # Keys come and go.
        if not self._open[caller.key_id]:
            del self._open[caller.key_id]

    async def _ending(self, caller: Caller) -> Ending:
        """Returns once the process stops, or the caller may tail no longer."""
        while not self._stopping.is_set():
            refused = None if self._judge is None else self._judge(caller)
            if refused is not None:
                return Ending(*refused)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._stopping.wait()
        return Ending("stopping", "this process is stopping; go on at another one, or at this one in a moment")
