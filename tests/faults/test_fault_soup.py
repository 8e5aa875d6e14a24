"""Row E6: a random schedule of faults of every part at once; the seed gives the schedule again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import pytest

from tests.e2e.fleet import Fleet, Part
from tests.faults.intensity import Intensity, row, struck
from tests.faults.under_load import Run, start, under_load
from tests.processes import Spawner
from tests.servers import RealServer, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@dataclass(slots=True)
class Soup:
    """Two strands of faults, one of our processes and one of the servers, so that two of them may hold at once."""

    run: Run
    intensity: Intensity
    done: list[str] = field(default_factory=list)

    async def boil(self, duration_s: float) -> None:
        """Returns when the time is over and everything runs again."""
        ends = time.monotonic() + duration_s
        await asyncio.gather(self._strand(self._of_processes(), ends), self._strand(self._of_servers(), ends))

    async def _strand(self, kinds: dict[str, Callable[[], Awaitable[None]]], ends: float) -> None:
        while time.monotonic() < ends:
            name = self.intensity.rng.choice(sorted(kinds))
            print(f"{time.strftime('%H:%M:%S')} {name}")
            await kinds[name]()
            self.done.append(name)
            await asyncio.sleep(self.intensity.rng.uniform(0.5, 4.0))

    def _of_processes(self) -> dict[str, Callable[[], Awaitable[None]]]:
        parts = {part.name: part for part in self.run.fleet.parts}
        kinds: dict[str, Callable[[], Awaitable[None]]] = {}
        for name, part in parts.items():
            kinds[f"kill {name}"] = partial(self._killed, part)
            kinds[f"terminate {name}"] = partial(self._terminated, part)
            kinds[f"freeze {name}"] = partial(self._frozen, part)
        return kinds

    def _of_servers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        kinds: dict[str, Callable[[], Awaitable[None]]] = {"end sessions of postgres": self._sessions_ended}
        for server in self.run.stack.servers.all:
            kinds[f"kill {server.name}"] = partial(self._server_killed, server)
            kinds[f"freeze {server.name}"] = partial(self._server_frozen, server)
        return kinds

    async def _killed(self, part: Part) -> None:
        self.run.fleet.kill(part)
        await self._pause(0.1, 2.0)
        self.run.fleet.restart(part)

    async def _terminated(self, part: Part) -> None:
        await asyncio.to_thread(part.process.child.stop, 10.0)
        self.run.fleet.restart(part)

    async def _frozen(self, part: Part) -> None:
        part.process.child.freeze()
        await self._pause(0.5, 13.0)
        part.process.child.thaw()

    async def _sessions_ended(self) -> None:
        try:
            connection = await asyncpg.connect(self.run.stack.postgres_dsn, timeout=5)
            await connection.fetchval(_END_SESSIONS)
            await connection.close()
        except (OSError, asyncpg.PostgresError, TimeoutError):
            print("PostgreSQL was away")

    async def _server_killed(self, server: RealServer) -> None:
        server.kill()
        await self._pause(0.5, 5.0)
        await start(server)

    async def _server_frozen(self, server: RealServer) -> None:
        server.freeze()
        await self._pause(0.5, 8.0)
        server.thaw()

    async def _pause(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self.intensity.rng.uniform(least_s, most_s))


@row("E6")
async def test_a_random_mixture_of_faults_loses_and_doubles_nothing(
    stack: Stack, spawn: Spawner, intensity: Intensity
) -> None:
    print(f"seed {intensity.seed}")
    done: list[str] = []

    async def faults(run: Run) -> None:
        soup = Soup(run, intensity)
        await soup.boil(intensity.pick(40, 60))
        done.extend(soup.done)
        # Until the last of those restarted is ready, so that the end is not taken for another fault.
        await asyncio.to_thread(run.fleet.wait_ready, 90.0)

    run = await under_load(stack, spawn, faults, seed=intensity.seed, fleet=Fleet(stack, spawn, queries=1))
    struck(len(done) >= 5, f"too few faults: {done}")
    intensity.saw(f"seed {intensity.seed}: {len(done)} faults, {run.ledger.summary()}")
