"""What a worker does besides windows: positions at partition ends, its figures, day partitions, events come near."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stream_app import statements as sql
from stream_app.figures import StreamFigures
from stream_app.near_events import NearEvents
from stream_app.outcomes import StoreBusyError, StoreUnavailableError, UnavailableError
from stream_app.owners_upkeep import OwnersUpkeep
from stream_app.partitions import DayPartitions
from stream_app.postgres_store import PostgresStore
from stream_app.redis_mirror import RedisMirror
from stream_app.retention_watch import RetentionWatch
from stream_app.silent_processes import SilentProcesses

log = logging.getLogger(__name__)
SAMPLE_INTERVAL_S = 0.1
REPORT_INTERVAL_S = 1.0
TABLES_INTERVAL_S = 60.0
FILTERS_INTERVAL_S = 10.0
# For so long Redis may list what retention removed.
RETENTION_INTERVAL_S = 5.0
STOP_WITHIN_S = 1.0


class Positions(Protocol):
    """What upkeep needs to know of the consumer."""

    def assigned(self) -> list[int]: ...
    def reached(self) -> dict[int, tuple[int, int]]:
        """Partition -> (end offset, ms): the end held everything appended before that time."""
        ...


class Alignment(Protocol):
    """What upkeep needs of the windows' positions. Raises UnavailableError."""

    async def find_positions(self, assigned: Iterable[int]) -> None:
        """Asks for those that are not known yet."""
        ...

    async def retry_stopped(self) -> None:
        """Reads those on that were stopped for their dead letters, where it is time to."""
        ...

    async def pass_over(self, ends: Mapping[int, int]) -> None:
        """Moves stored offsets to these ends where no record stands in between."""
        ...

    async def check_positions(self, before: Mapping[int, int], found: Mapping[int, int]) -> None:
        """Sees to a database that holds less than it did `before`."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this worker is: `worker` in `consumer_offsets`, and with its start `process` in `process_metrics`."""

    process: str
    worker: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Keeping:
    """What upkeep works on. `store` and `slow_store` are connections of its own, so that windows never wait for it."""

    store: PostgresStore
    slow_store: PostgresStore
    mirror: RedisMirror
    days: DayPartitions
    closed_days: DayPartitions
    owners: OwnersUpkeep
    retention: RetentionWatch
    silent: SilentProcesses
    near_events: NearEvents
    figures: StreamFigures
    # Raises StoreUnavailableError.
    join_filters: Callable[[], Awaitable[None]] | None = None


class Upkeep:
    """Loops that end with the process; trouble in one of them is logged and tried again."""

    def __init__(
        self,
        identity: Identity,
        keeping: Keeping,
        positions: Positions,
        alignment: Alignment,
        stored_offsets: Callable[[], Mapping[int, int]],
        buffered: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._keeping = keeping
        self._positions = positions
        self._alignment = alignment
        self._stored_offsets = stored_offsets
        self._buffered = buffered
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.ticks = 0
        self.store_answers = False

    def start(self) -> None:
        """Starts the loops on the running event loop."""
        loops: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._sample, SAMPLE_INTERVAL_S),
            (self._report, REPORT_INTERVAL_S),
            (self._keep_tables_and_lists, TABLES_INTERVAL_S),
            (self._keeping.retention.look, RETENTION_INTERVAL_S),
        ]
        if self._keeping.join_filters is not None:
            loops.append((self._keeping.join_filters, FILTERS_INTERVAL_S))
        self._tasks = [asyncio.create_task(self._for_ever(work, interval_s)) for work, interval_s in loops]

    async def stop(self) -> None:
        """Ends the loops, within STOP_WITHIN_S."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S)

    async def _for_ever(self, work: Callable[[], Awaitable[None]], interval_s: float) -> None:
        # A flag beside the cancellation, which a client library may swallow in the middle of its work.
        while not self._stopping:
            try:
                await work()
            except UnavailableError as error:
                if isinstance(error, StoreUnavailableError) and not isinstance(error, StoreBusyError):
                    self.store_answers = False
                log.warning(f"upkeep waits for {error.dependency}", extra={"why": str(error)})
            except Exception:
                # Upkeep must not take the windows down with it; the watchdog sees to a worker that stands still.
                log.exception("upkeep failed and is tried again")
            await asyncio.sleep(interval_s)

    async def _sample(self) -> None:
        self.ticks += 1
        self._positions.reached()
        self._keeping.figures.buffered.set(self._buffered())

    async def _report(self) -> None:
        assigned = self._positions.assigned()
        self._keeping.figures.partitions.set(len(assigned))
        await self._alignment.find_positions(assigned)
        await self._alignment.retry_stopped()
        await self._alignment.pass_over({partition: end for partition, (end, _) in self._positions.reached().items()})
        await self._move_stored_until()
        await self._keeping.store.execute(
            sql.REPORT_PROCESS,
            self._identity.process,
            "stream",
            self._identity.worker,
            self._identity.started_at,
            self._keeping.figures.counters().decode(),
        )
        self.store_answers = True

    async def _move_stored_until(self) -> None:
        """At partition ends. Redis is told no more than PostgreSQL confirmed: it may have been restored meanwhile."""
        stored = dict(self._stored_offsets())
        reached = {
            partition: (end, ms)
            for partition, (end, ms) in self._positions.reached().items()
            if stored.get(partition, -1) >= end
        }
        if not reached:
            return
        found = await self._keeping.store.move_stored_until(reached)
        await self._alignment.check_positions({partition: stored[partition] for partition in reached}, found)
        until = {partition: ms for partition, (end, ms) in reached.items() if found.get(partition, -1) >= end}
        if until:
            await self._keeping.mirror.move_stored_until(until)

    async def _keep_tables_and_lists(self) -> None:
        await self._keeping.days.make_ahead()
        await self._keeping.near_events.tell()
        await self._keeping.silent.fold()
        await self._keeping.closed_days.make_of_default()
        await self._keeping.owners.do()
