"""One computation at a time for the same question, its outcome for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from query_api import abandoned

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Flight(Generic[Key, Result]):
    key: Key
    began_s: float
    waiting: int = 0
    is_abandoned: bool = False
    task: asyncio.Task[Result] = field(init=False)


class SingleFlight(Generic[Key, Result]):
    """Computations under way, with the time each began."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._under_way: dict[Key, _Flight[Key, Result]] = {}

    def join(self, key: Key, within_s: float) -> Awaitable[Result] | None:
        """The outcome of one that began at most so long ago; None when there is none."""
        found = self._under_way.get(key)
        if found is None or self._now_s() - found.began_s > within_s:
            return None
        return self._outcome(found)

    def begin(self, key: Key, computation: Coroutine[Any, Any, Result]) -> Awaitable[Result]:
        """The outcome of a new one, which others may join from now on."""
        flight = _Flight[Key, Result](key, self._now_s())
        flight.task = asyncio.create_task(_watched(flight, computation))
        self._under_way[key] = flight
        flight.task.add_done_callback(lambda _: self._over(flight))
        return self._outcome(flight)

    async def _outcome(self, flight: _Flight[Key, Result]) -> Result:
        flight.waiting += 1
        try:
            # A sender that goes away must not take the answer from the others.
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                # The last one has gone: it may end early, and nobody new is to be given that.
                flight.is_abandoned = True
                self._leave(flight)

    def _over(self, flight: _Flight[Key, Result]) -> None:
        self._leave(flight)
        # When all who asked have gone away, nobody else looks at it.
        if not flight.task.cancelled():
            flight.task.exception()

    def _leave(self, flight: _Flight[Key, Result]) -> None:
        if self._under_way.get(flight.key) is flight:
            del self._under_way[flight.key]


async def _watched(flight: _Flight[Key, Result], computation: Coroutine[Any, Any, Result]) -> Result:
    abandoned.watch(lambda: flight.is_abandoned)
    return await computation
