"""Ends the transactions of frozen workers that hold what a window waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from stream_app import statements as sql

log = logging.getLogger(__name__)
# A transaction of ours takes well below a second. If a healthy one is ended, its window is written anew.
FROZEN_AFTER_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.5


@asynccontextmanager
async def ending_frozen(
    blocked_pid: int, application: str, frozen_after_s: float, connect: Callable[[], Awaitable[Any]]
) -> AsyncIterator[None]:
    """Inside, whoever of `application` has blocked `blocked_pid` with an older transaction loses its connection.

    PostgreSQL ends none of them by itself: a process stopped in the middle of a COPY is not idle, the time of its
    statement is not measured while its rows are awaited, and its kernel goes on answering keepalives.
    """
    looking = asyncio.create_task(_look(blocked_pid, application, frozen_after_s, connect), name="frozen")
    try:
        yield
    finally:
        looking.cancel()
        (ended,) = await asyncio.gather(looking, return_exceptions=True)
        if isinstance(ended, Exception):
            log.warning("could not look for frozen workers", exc_info=ended)


async def _look(
    blocked_pid: int, application: str, frozen_after_s: float, connect: Callable[[], Awaitable[Any]]
) -> None:
    # Only while one waits does PostgreSQL know for whom, so a second connection has to look.
    connection = await connect()
    try:
        while True:
            for row in await connection.fetch(sql.END_FROZEN, blocked_pid, application, frozen_after_s):
                log.warning(
                    "ended the transaction of a frozen worker", extra={"pid": row["pid"], "age_s": row["age_s"]}
                )
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        connection.terminate()
