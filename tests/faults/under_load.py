"""Real processes under load from four kinds of senders, hurt by a test, and held to the ledger afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.e2e.agreement import Agreement, eventually
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Fate, Ledger, SentEvent
from tests.e2e.load import Load, Mix, compact
from tests.processes import Spawner
from tests.servers import READY_TIMEOUT_S, RealServer, Stack

_FRESH = "SELECT count(*) FROM logs WHERE source = 'probe' AND message LIKE $1"
SETTLED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a fault may touch."""

    stack: Stack
    fleet: Fleet
    ledger: Ledger
    load: Load

    async def grown(self, events: int, timeout_s: float = 60.0) -> None:
        """Returns when so many more events are acknowledged."""
        await grown(self.ledger, events, timeout_s)

    @property
    def acknowledged(self) -> int:
        """Events so far."""
        return self.ledger.count(Fate.ACKED)

    async def visible_within(self, timeout_s: float) -> float:
        """Produces one event to every partition; the seconds until all of them are stored."""
        kafka, tag = self.stack.settings.kafka, uuid4().hex
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, acks="all", request_timeout_ms=5000, metadata_max_age_ms=2000
        )
        await producer.start()
        started = time.monotonic()
        try:
            for partition in range(kafka.partitions):
                await self._produce_probe(producer, partition, tag, started + timeout_s)
        finally:
            await producer.stop()
        connection = await asyncpg.connect(self.stack.postgres_dsn, timeout=10)

        async def missing() -> str:
            found = await connection.fetchval(_FRESH, f"% {tag}")
            return "" if found == kafka.partitions else f"{found} of {kafka.partitions}"

        try:
            await eventually(missing, timeout_s, "a fresh event of each partition is stored")
        finally:
            await connection.close()
        return time.monotonic() - started

    async def _produce_probe(self, producer: AIOKafkaProducer, partition: int, tag: str, ends: float) -> None:
        """Until Kafka takes it; with an id and a time, so that it is stored once however often it was sent."""
        now, identifier = datetime.now(UTC), uuid4()
        number, message = self.ledger.issue(SentEvent("INFO", "probe", tag, now, None, identifier))
        body = {"severity": "INFO", "source": "probe", "message": message}
        value = compact({**body, "timestamp": now.isoformat(), "id": str(identifier)}).encode()
        while True:
            try:
                await producer.send_and_wait(self.stack.settings.kafka.topic, value, partition=partition)
            except KafkaError:
                self.ledger.settle(number, Fate.UNKNOWN)
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.5)
            else:
                self.ledger.settle(number, Fate.ACKED)
                return


Faults = Callable[[Run], Awaitable[None]]


async def under_load(
    stack: Stack, spawn: Spawner, faults: Faults, *, seed: int = 1, mix: Mix | None = None, fleet: Fleet | None = None
) -> Run:
    """Runs `faults` while two workers are under load, then holds everything to everything."""
    fleet = fleet or Fleet(stack, spawn)
    await asyncio.to_thread(fleet.wait_ready)
    ledger = Ledger()
    load = Load(ledger, fleet.gateway_url, seed, mix or Mix())
    run = Run(stack, fleet, ledger, load)
    await load.start(stack.settings.kafka.bootstrap_servers, stack.settings.kafka.topic)
    try:
        await run.grown(500)
        await faults(run)
        await run.grown(500)
    finally:
        await load.stop()
    print(f"{ledger.summary()}; {load.retries} retries, {load.unavailable} requests without an acknowledgement")
    async with Agreement(stack, ledger) as agreement:
        await agreement.assert_clean(SETTLED_WITHIN_S)
    # None ended by itself: whatever is away is waited for.
    fleet.assert_alive()
    return run


async def grown(ledger: Ledger, events: int, timeout_s: float = 60.0) -> None:
    """Returns when so many more events are acknowledged."""
    due = ledger.count(Fate.ACKED) + events

    async def still_missing() -> str:
        missing = due - ledger.count(Fate.ACKED)
        return f"{missing} are missing" if missing > 0 else ""

    await eventually(still_missing, timeout_s, f"{events} more events are acknowledged")


async def start(server: RealServer) -> None:
    """Starts a server that was stopped, and returns when it answers."""
    server.start()
    await asyncio.to_thread(server.wait_ready, READY_TIMEOUT_S)


def through(stack: Stack, **ports: int) -> Stack:
    """The same stack, whose processes reach `kafka`, `postgres` or `redis` at another port."""
    variables = {f"THREATLOG_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    return replace(stack, environment=stack.with_environment(**variables))
