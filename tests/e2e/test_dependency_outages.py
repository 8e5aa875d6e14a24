"""PostgreSQL, Redis and Kafka gone for a while, wiped, killed and restored under load: the same exactly once."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import redis.asyncio

from tests.e2e.agreement import Agreement
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Fate, Ledger
from tests.e2e.load import Load, Mix
from tests.faults.under_load import grown, start
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
OUTAGE_S = float(os.environ.get("THREATLOG_TEST_OUTAGE_S", "60"))
SEED = int(os.environ.get("THREATLOG_TEST_SEED") or random.SystemRandom().randrange(1 << 32))

_TABLES = (
    "consumer_offsets",
    "logs",
    "log_rollup_minute",
    "log_rollup_hour",
    "log_rollup_total",
    "log_count_minute",
    "log_count_hour",
    "log_foreign_ids",
    "dead_letters",
    "offset_gaps",
)


async def _under_load(
    stack: Stack, spawn: Spawner, faults: Callable[[Ledger], Awaitable[None]], redeemed_s: float = 60.0
) -> Ledger:
    """Runs `faults` while two workers are under load, then holds everything to everything."""
    print(f"seed: THREATLOG_TEST_SEED={SEED}")
    ledger = Ledger()
    fleet = Fleet(stack, spawn)
    await asyncio.to_thread(fleet.wait_ready)
    load = Load(ledger, fleet.gateway_url, SEED, Mix())
    await load.start(stack.settings.kafka.bootstrap_servers, stack.settings.kafka.topic)
    try:
        await grown(ledger, 1500)
        await faults(ledger)
        await grown(ledger, 1500)
    finally:
        await load.stop()
    print(f"{ledger.summary()}; {load.retries} retries, {load.unavailable} requests without an acknowledgement")
    async with Agreement(stack, ledger) as agreement:
        await agreement.assert_clean(redeemed_s)
    # None ended by itself: whatever is away is waited for.
    fleet.assert_alive()
    return ledger


async def test_postgres_killed_and_then_away_costs_nothing(stack: Stack, spawn: Spawner) -> None:
    postgres = stack.servers.postgres

    async def faults(ledger: Ledger) -> None:
        postgres.kill()
        await start(postgres)
        await grown(ledger, 1500)
        await asyncio.to_thread(postgres.stop)
        before = ledger.count(Fate.ACKED)
        await asyncio.sleep(OUTAGE_S)
        # Kafka keeps what waits, so senders notice nothing.
        assert ledger.count(Fate.ACKED) > before
        await start(postgres)

    ledger = await _under_load(stack, spawn, faults)
    assert ledger.count(Fate.UNKNOWN) == 0


async def test_redis_wiped_frozen_and_killed_agrees_again(stack: Stack, spawn: Spawner) -> None:
    server = stack.servers.redis

    async def wipe() -> None:
        client = redis.asyncio.from_url(stack.redis_url)
        await client.flushall()
        await client.aclose()

    async def faults(ledger: Ledger) -> None:
        for _ in range(3):
            await wipe()
            await grown(ledger, 500)
        server.freeze()
        await grown(ledger, 1500)
        server.thaw()
        await grown(ledger, 500)
        server.kill()
        await grown(ledger, 1500)
        await start(server)
        await grown(ledger, 1000)
        await wipe()

    ledger = await _under_load(stack, spawn, faults)
    assert ledger.count(Fate.UNKNOWN) == 0


async def test_kafka_killed_and_restarted_keeps_what_it_acknowledged(stack: Stack, spawn: Spawner) -> None:
    kafka = stack.servers.kafka

    async def faults(ledger: Ledger) -> None:
        kafka.kill()
        # Longer than the gateway's deadline, so that senders are told.
        await asyncio.sleep(6.0)
        await start(kafka)
        await grown(ledger, 1500)
        await asyncio.to_thread(kafka.stop)
        await start(kafka)

    await _under_load(stack, spawn, faults)


async def test_a_database_restored_to_an_earlier_state_is_filled_again_from_kafka(stack: Stack, spawn: Spawner) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn)

    async def faults(ledger: Ledger) -> None:
        async with connection.transaction(isolation="repeatable_read"):
            for table in _TABLES:
                await connection.execute(f"CREATE TABLE saved_{table} AS TABLE {table}")
        saved = await connection.fetchval("SELECT count(*) FROM saved_logs")
        await grown(ledger, 3000)
        async with connection.transaction():
            for table in _TABLES:
                # The offsets first, which every window locks first.
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            lost = await connection.fetchval("SELECT count(*) FROM logs") - saved
            for table in _TABLES:
                await connection.execute(f"TRUNCATE {table}")
                await connection.execute(f"INSERT INTO {table} TABLE saved_{table}")
        assert lost > 0

    try:
        await _under_load(stack, spawn, faults)
    finally:
        await connection.close()
