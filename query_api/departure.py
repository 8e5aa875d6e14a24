"""Notices that whoever asked has gone away while the answer is still being made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import Receive

# Most answers are there by then, and cost no look at the connection.
WATCHED_AFTER_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class AtOnce:
    """An answer that is there already: nobody has to wait for it, nor to look who waits."""

    body: bytes

    def __await__(self) -> Generator[None, None, bytes]:
        """It."""
        yield from ()
        return self.body


class GoneError(Exception):
    """Whoever asked has closed the connection."""


async def until_gone(request: Request, answer: Awaitable[bytes], after_s: float = WATCHED_AFTER_S) -> bytes:
    """The answer. Raises GoneError as soon as nobody waits for it any more."""
    if isinstance(answer, AtOnce):
        return answer.body
    making = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait((making,), timeout=after_s)
        if not done:
            gone = asyncio.create_task(disconnected(request.receive))
            try:
                await asyncio.wait((making, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
            if not making.done():
                raise GoneError
        return making.result()
    finally:
        making.cancel()


async def disconnected(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
