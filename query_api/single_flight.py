"""One computation at a time for the same question, its outcome for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """Computations under way, with the time each began."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._under_way: dict[Key, tuple[float, asyncio.Task[Result]]] = {}

    def join(self, key: Key, within_s: float) -> Awaitable[Result] | None:
        """The outcome of one that began at most so long ago; None when there is none."""
        found = self._under_way.get(key)
        if found is None or self._now_s() - found[0] > within_s:
            return None
        # A sender that goes away must not take the answer from the others.
        return asyncio.shield(found[1])

    def begin(self, key: Key, computation: Coroutine[Any, Any, Result]) -> Awaitable[Result]:
        """The outcome of a new one, which others may join from now on."""
        task = asyncio.create_task(computation)
        self._under_way[key] = self._now_s(), task
        task.add_done_callback(lambda _: self._over(key, task))
        return asyncio.shield(task)

    def _over(self, key: Key, task: asyncio.Task[Result]) -> None:
        if self._under_way.get(key, (0.0, None))[1] is task:
            del self._under_way[key]
        # When all who asked have gone away, nobody else looks at it.
        if not task.cancelled():
            task.exception()
