"""Gathers delivered chunks into windows of at most so many events, so many bytes or so long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream_app.chunks import BufferedEvents, Chunk


@dataclass(frozen=True, slots=True)
class Delivery:
    """One chunk, and how Faust is told that it is stored."""

    chunk: Chunk
    acknowledge: Callable[[], object]


class Windower:
    """A queue whose reader takes whole windows. A chunk is never split: each alone is within the bounds."""

    def __init__(self, batch_size: int, batch_timeout_s: float, buffered: BufferedEvents) -> None:
        self._batch_size = batch_size
        self._buffered = buffered
        self._batch_timeout_s = batch_timeout_s
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._held: Delivery | None = None

    def put(self, delivery: Delivery) -> None:
        """Adds a chunk; the cap on events in memory is kept where they are fetched."""
        self._queue.put_nowait(delivery)

    @property
    def waits(self) -> bool:
        """Whether a further window is there at once."""
        return self._held is not None or not self._queue.empty()

    def discard(self) -> None:
        """Forgets what is queued: it will be delivered anew."""
        self._held = None
        while not self._queue.empty():
            self._queue.get_nowait()

    async def window(self, writer_is_busy: Callable[[], asyncio.Future[None] | None]) -> list[Delivery]:
        """The next window: full, or `batch_timeout_s` after its first chunk came.

        While the writer is busy with the window before, an overdue one goes on filling: it could not be written anyway.
        """
        first = self._held or await self._queue.get()
        self._held = None
        deliveries, events, size = [first], len(first.chunk.records), first.chunk.bytes
        deadline = asyncio.get_running_loop().time() + self._batch_timeout_s
        max_bytes = self._buffered.max_window_bytes
        while events < self._batch_size and size < max_bytes:
            delivery = await self._next(deadline, writer_is_busy)
            if delivery is None:
                break
            events += len(delivery.chunk.records)
            size += delivery.chunk.bytes
            if events > self._batch_size or size > max_bytes:
                self._held = delivery
                break
            deliveries.append(delivery)
        return deliveries

    async def _next(
        self, deadline: float, writer_is_busy: Callable[[], asyncio.Future[None] | None]
    ) -> Delivery | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._queue.get()
        except TimeoutError:
            busy = writer_is_busy()
            if busy is None:
                return None
        getting: asyncio.Future[Delivery] = asyncio.ensure_future(self._queue.get())
        try:
            waited: list[asyncio.Future[Any]] = [getting, busy]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not getting.done():
                getting.cancel()
        return getting.result() if getting.done() and not getting.cancelled() else None
