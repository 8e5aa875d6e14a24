"""The processes of a run: one gateway and some stream workers, and how they are hurt and started again."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import Spawned, Spawner, spawning
from tests.servers import Stack
from threatlog.embedded.ports import LOOPBACK, free_port

STOP_WITHIN_S = 10.0
READY_PATH = "/readyz"
WORKER_FAULTS = ("kill", "terminate", "freeze")
_FURTHER_FAULTS = ("kill", "freeze-both", "kill-gateway")


@dataclass(slots=True)
class Part:
    """One process of the fleet under its present life."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    ready_url: str
    process: Spawned
    lives: int = 1
    exit_codes: list[int] = field(default_factory=list)
    stop_times_s: list[float] = field(default_factory=list)


class Fleet:
    """Starts `threatlog gateway`, workers and the query API on free ports, from the thread of the test."""

    def __init__(self, stack: Stack, spawn: Spawner, workers: int = 2, queries: int = 0) -> None:
        self._spawn = spawn
        self._ports: list[int] = []
        self.stack = stack
        port = self._port()
        self.gateway_url = f"http://{LOOPBACK}:{port}"
        self.gateway = self._launch("gateway", "gateway", {"THREATLOG_SERVER_PORT": str(port)}, port)
        self.workers = [self._worker(number) for number in range(workers)]
        self.queries = [self._query(number) for number in range(queries)]

    @property
    def parts(self) -> list[Part]:
        """All of them."""
        return [self.gateway, *self.workers, *self.queries]

    @property
    def query_url(self) -> str:
        """Of the first query API."""
        return self.queries[0].ready_url.removesuffix(READY_PATH)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Returns when every part answers that it is ready."""
        for part in self.parts:
            part.process.wait_http(part.ready_url, timeout_s)

    def add_worker(self) -> None:
        """Starts one more."""
        self.workers.append(self._worker(len(self.workers)))

    def _worker(self, number: int) -> Part:
        port = self._port()
        return self._launch(f"stream-{number}", "stream", {"THREATLOG_STREAM_METRICS_PORT": str(port)}, port)

    def add_query(self, **variables: str) -> Part:
        """Starts one more query API with settings of its own."""
        self.queries.append(self._query(len(self.queries), **variables))
        return self.queries[-1]

    def remove(self, part: Part) -> None:
        """Ends a query API that was added."""
        self.queries.remove(part)
        part.process.child.stop(STOP_WITHIN_S)

    def _query(self, number: int, **variables: str) -> Part:
        port = self._port()
        return self._launch(f"query-{number}", "query", {"THREATLOG_QUERY_PORT": str(port), **variables}, port)

    def _launch(self, name: str, part: str, variables: dict[str, str], port: int) -> Part:
        environment = self.stack.with_environment(**variables)
        command = ("-m", "threatlog", part)
        process = self._spawn(name, command, environment)
        return Part(name, command, environment, f"http://{LOOPBACK}:{port}{READY_PATH}", process)

    def _port(self) -> int:
        self._ports.append(free_port(random.Random(), avoid=self._ports))
        return self._ports[-1]

    def restart(self, part: Part) -> None:
        """Starts a part that has ended."""
        assert not part.process.child.running, f"{part.name} still runs"
        part.process = self._spawn(part.name, part.command, part.environment)
        part.lives += 1

    def kill(self, part: Part) -> None:
        """Ends it as a crash would."""
        part.process.child.kill()

    async def terminate(self, part: Part) -> None:
        """Asks it to end, and notes how long that took and with which code."""
        started_s = time.monotonic()
        part.process.child.send(signal.SIGTERM)
        while part.process.child.running:
            assert time.monotonic() < started_s + STOP_WITHIN_S, (
                f"{part.name} runs {STOP_WITHIN_S:g} s after SIGTERM:\n{part.process.child.log_tail(50)}"
            )
            await asyncio.sleep(0.02)
        part.stop_times_s.append(time.monotonic() - started_s)
        part.exit_codes.append(part.process.wait_exit(0))

    def assert_alive(self) -> None:
        """Every part runs: none has ended by itself."""
        for part in self.parts:
            child = part.process.child
            assert child.running, f"{part.name} ended by itself with {child.exit_code}:\n{child.log_tail(60)}"


@contextmanager
def ready_fleet(stack: Stack, log_folder: Path) -> Iterator[Fleet]:
    """A gateway, one worker and a query API, ready; none of them may have ended by the end of the block."""
    with spawning(log_folder) as spawn:
        made = Fleet(stack, spawn, workers=1, queries=1)
        made.wait_ready()
        yield made
        made.assert_alive()


@dataclass(frozen=True, slots=True)
class Chaos:
    """Hurts one part after the other, by chance: killed, terminated or frozen, and back after a while."""

    fleet: Fleet
    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self, duration_s: float) -> None:
        """Returns after `duration_s` or a little later, with every part running again.

        Each kind of fault comes once in every round, those of the workers first; a round of these is always ended.
        """
        ends_s = time.monotonic() + duration_s
        rounds = itertools.cycle((WORKER_FAULTS, _FURTHER_FAULTS))
        waiting: list[str] = []
        while time.monotonic() < ends_s or not self.counts.keys() >= set(WORKER_FAULTS):
            if not waiting:
                waiting = list(next(rounds))
                self.rng.shuffle(waiting)
            fault = waiting.pop()
            victim = self.rng.choice(self.fleet.workers)
            print(f"{time.strftime('%H:%M:%S')} {fault} {victim.name}")
            self.fleet.assert_alive()
            await self._strike(fault, victim)
            self.counts[fault] += 1
            await asyncio.sleep(self.rng.uniform(2.0, 6.0))

    async def _strike(self, fault: str, victim: Part) -> None:
        if fault == "kill":
            self.fleet.kill(victim)
        elif fault == "terminate":
            await self.fleet.terminate(victim)
        elif fault == "kill-gateway":
            victim = self.fleet.gateway
            self.fleet.kill(victim)
        else:
            await self._freeze(self.fleet.workers if fault == "freeze-both" else [victim])
            return
        await asyncio.sleep(self.rng.uniform(0.2, 2.0))
        self.fleet.restart(victim)

    async def _freeze(self, victims: list[Part]) -> None:
        for victim in victims:
            victim.process.child.freeze()
        # Longer than the group's session time-out of 10 s now and then: its partitions go to the other worker.
        await asyncio.sleep(self.rng.uniform(3.0, 12.0))
        for victim in victims:
            victim.process.child.thaw()
