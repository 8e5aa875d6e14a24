"""Places where a worker may be told to fail, by THREATLOG_FAILPOINT, so that tests hit the moments that matter most.

`POINT:ACTION[@N]`: when it gets there for the N-th time (the first) it is killed (`exit`) or waits (`pause=SECONDS`).
Unset, nothing of this is in a worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from stream_app.outcomes import ConfigurationFaultError, Stored, Window
from stream_app.postgres_store import PostgresStore
from stream_app.redis_mirror import RedisMirror, connect

if TYPE_CHECKING:
    from stream_app.contract import RedisKeys
    from stream_app.mirror_parts import MirrorFigures, SnapshotSource
    from stream_app.postgres_store import Connection
    from stream_app.prepare import Cell, Row
    from threatlog.process.server_settings import Postgres, Redis

VARIABLE: Final = "THREATLOG_FAILPOINT"
BEFORE_COMMIT: Final = "before_postgres_commit"
AFTER_COMMIT: Final = "after_postgres_commit"
BEFORE_ACKNOWLEDGEMENT: Final = "before_acknowledgement"
POINTS: Final = (BEFORE_COMMIT, AFTER_COMMIT, BEFORE_ACKNOWLEDGEMENT)
_FORM: Final = re.compile(r"(?P<point>\w+):(?:(?P<exit>exit)|pause=(?P<pause>\d+(?:\.\d+)?))(?:@(?P<nth>[1-9]\d*))?")
log = logging.getLogger(__name__)


class FailPoint:
    """One place, and what happens there once."""

    def __init__(self, point: str, pause_s: float | None, nth: int) -> None:
        self._point = point
        self._pause_s = pause_s
        self._left = nth

    async def reach(self, point: str) -> None:
        """The worker has got there."""
        if point != self._point:
            return
        self._left -= 1
        if self._left:
            return
        log.critical("the fail point is reached", extra={"asked": point})
        if self._pause_s is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            await asyncio.sleep(self._pause_s)


def fail_point_of(environ: Mapping[str, str]) -> FailPoint | None:
    """The one that is asked for. Raises ConfigurationFaultError."""
    text = environ.get(VARIABLE)
    if not text:
        return None
    match = _FORM.fullmatch(text)
    if match is None or match["point"] not in POINTS:
        raise ConfigurationFaultError(
            f"{VARIABLE} is {text!r}; allowed: {' or '.join(POINTS)}, then :exit or :pause=SECONDS, then @N or nothing"
        )
    log.critical("this worker will fail on purpose; it is for tests", extra={"asked": text})
    return FailPoint(match["point"], None if match["exit"] else float(match["pause"]), int(match["nth"] or 1))


class FailingStore(PostgresStore):
    """The store of windows with the places around its commit."""

    def __init__(self, fail_point: FailPoint, settings: Postgres, topic: str, worker: str) -> None:
        super().__init__(settings, topic, worker)
        self._fail_point = fail_point

    async def write(self, window: Window) -> Stored:
        """Stores one window."""
        stored = await super().write(window)
        await self._fail_point.reach(AFTER_COMMIT)
        return stored

    async def _add_to_rollups(
        self, connection: Connection, rows: Sequence[Row]
    ) -> tuple[dict[Cell, int], dict[tuple[int, str], int]]:
        found = await super()._add_to_rollups(connection, rows)
        await self._fail_point.reach(BEFORE_COMMIT)
        return found


class FailingMirror(RedisMirror):
    """The mirror with the place behind it."""

    def __init__(
        self, fail_point: FailPoint, settings: Redis, keys: RedisKeys, source: SnapshotSource, figures: MirrorFigures
    ) -> None:
        super().__init__(connect(settings), keys, source, time.time, figures)
        self._fail_point = fail_point

    async def apply(self, stored: Stored, until_ms: Mapping[int, int], *, more_waits: bool) -> bool:
        """Tells Redis of one window."""
        told = await super().apply(stored, until_ms, more_waits=more_waits)
        await self._fail_point.reach(BEFORE_ACKNOWLEDGEMENT)
        return told
