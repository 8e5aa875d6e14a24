"""Whether a process needs API keys: wherever others than this machine can connect to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from threatlog.access.key_watch import Clocks, KeyWatch
from threatlog.access.postgres_keys import PostgresKeys
from threatlog.process.addresses import is_loopback

if TYPE_CHECKING:
    from threatlog.process.settings import Settings

_FIRST_LOAD_S: Final = 5.0
# At the stop, what was noted last gets this long.
_LAST_NOTE_S: Final = 0.5
log = logging.getLogger(__name__)


class NoKeysError(Exception):
    """The process would let nobody in; the text says what to do."""


def keys_required(settings: Settings, host: str) -> bool:
    """Whether whoever reaches `host` needs a key."""
    return settings.access.required == "always" or not is_loopback(host)


async def first_keys(settings: Settings, service: str, host: str) -> KeyWatch | None:
    """The keys of a process that listens on `host`, read once; None where it needs none.

    Without PostgreSQL the process starts, and lets nobody in until the keys are known. Raises NoKeysError.
    """
    if not keys_required(settings, host):
        return None
    store, notes = (PostgresKeys(settings.postgres, f"threatlog-{service}-keys") for _ in range(2))
    watch = KeyWatch(store, notes, service, settings.access.max_stale, Clocks(_now, time.monotonic))
    try:
        async with asyncio.timeout(_FIRST_LOAD_S):
            known = await watch.refresh()
    except TimeoutError:
        known = False
    finally:
        # Whoever keeps the keys current may do so in another event loop.
        await store.close()
    if known and not watch.has_active_key:
        reason = "access.required is always" if is_loopback(host) else f"others can reach {host}"
        raise NoKeysError(
            f"{reason} and there is no API key; make one with `threatlog keys create NAME --scope ...`, "
            "or listen on 127.0.0.1 with access.required at auto"
        )
    return watch


@contextlib.asynccontextmanager
async def kept_current(watch: KeyWatch | None) -> AsyncIterator[None]:
    """Keeps the keys current beside what runs inside."""
    if watch is None:
        yield
        return
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_NOTE_S):
                await watch.note()


def watch_in_thread(watch: KeyWatch) -> None:
    """Keeps the keys current from a thread with a loop of its own, until the process ends."""
    threading.Thread(target=lambda: asyncio.run(watch.run()), name="keys", daemon=True).start()


def _now() -> datetime:
    return datetime.now(UTC)
