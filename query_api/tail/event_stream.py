"""An answer of server-sent events (ASGI), which ends when its client leaves, may no more, or the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

from query_api.departure import disconnected
from query_api.tail import frames
from threatlog.process.http_metrics import Receive, Scope, Send

CONTENT_TYPE: Final = "text/event-stream"
_HEADERS: Final = [
    (b"content-type", CONTENT_TYPE.encode()),
    (b"cache-control", b"no-store"),
    # nginx would keep events until it has a buffer of them.
    (b"x-accel-buffering", b"no"),
]
# The last piece, to a client that takes nothing, is waited for no longer.
_LAST_PIECE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a stream ends before its client leaves."""

    code: str
    detail: str


class EventStream:
    """A response as Starlette takes one. `ending` returns once it must end; `closed` is called after the end."""

    def __init__(
        self,
        pieces: Callable[[], AsyncGenerator[bytes]],
        ending: Callable[[], Coroutine[Any, Any, Ending]],
        closed: Callable[[], None],
    ) -> None:
        self._pieces = pieces
        self._ending = ending
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            last = b"" if scope["method"] == "HEAD" else await self._stream(receive, send)
            if last is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_PIECE_S):
                        await send({"type": "http.response.body", "body": last})
        finally:
            self._closed()

    async def _stream(self, receive: Receive, send: Send) -> bytes | None:
        """The last piece; None when there is nobody to take it.

        Leaving, ending and sending are waited for at once: a client may take nothing for a long time.
        """
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(disconnected(receive))
        ending = asyncio.create_task(self._ending())
        tasks: tuple[asyncio.Task[Any], ...] = (sending, leaving, ending)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # Whatever they use is let go of before this returns.
            await asyncio.gather(*tasks, return_exceptions=True)
        if not sending.cancelled():
            sending.result()
        if not leaving.cancelled():
            return None
        return frames.ended(ending.result().code, ending.result().detail) if not ending.cancelled() else b""

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
