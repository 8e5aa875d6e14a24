"""What goes on beside the requests: lag is refreshed, figures are written, counts of the last days are learned."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from query_api.lag_monitor import REFRESH_INTERVAL_S, LagMonitor
from query_api.reading import FiguresStore, QueryTimeoutError, StoreUnavailableError
from query_api.telemetry import QueryFigures

log = logging.getLogger(__name__)
REPORT_INTERVAL_S: Final = 1.0
LEARN_INTERVAL_S: Final = 60.0
# At the stop, the last figures get this long.
_LAST_REPORT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writes the figures of this process under its name."""

    store: FiguresStore
    figures: QueryFigures
    process: str
    started_at: datetime

    async def report(self) -> None:
        """Once; trouble is logged, the next time may do."""
        try:
            await self.store.report(self.process, self.started_at, self.figures.counters_json())
        except (StoreUnavailableError, QueryTimeoutError) as error:
            log.warning("this process's figures cannot be written", extra={"why": str(error)})


@contextlib.asynccontextmanager
async def running(monitor: LagMonitor, reporter: Reporter, learn: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """All loops, until the block ends; then the figures are written once more."""
    tasks = [
        asyncio.create_task(_repeat(monitor.refresh_positions, REFRESH_INTERVAL_S)),
        asyncio.create_task(_repeat(monitor.refresh_ends, REFRESH_INTERVAL_S)),
        asyncio.create_task(_repeat(reporter.report, REPORT_INTERVAL_S)),
        asyncio.create_task(_repeat(learn, LEARN_INTERVAL_S)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_LAST_REPORT_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reporter.report(), _LAST_REPORT_S)


async def _repeat(do: Callable[[], Awaitable[None]], interval_s: float) -> None:
    while True:
        try:
            await do()
        except Exception:
            # Our bug: it must be seen, and must not end what everything else relies on.
            log.exception("a background task failed")
        await asyncio.sleep(interval_s)
