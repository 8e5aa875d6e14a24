"""Whoever tails, and loses the connection again and again, gets everything that was acknowledged, once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import aiohttp
import asyncpg
import pytest

from tests.e2e.fleet import Fleet
from tests.e2e.ledger import Fate, Ledger
from tests.e2e.load import Load, Mix
from tests.processes import Spawner, eventually, http_json
from tests.servers import Stack
from tests.sse import TailClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
_DURATION_S = 12.0


async def test_cut_off_again_and_again_it_misses_nothing_and_shows_nothing_twice(stack: Stack, spawn: Spawner) -> None:
    fleet = Fleet(stack, spawn, workers=1, queries=2)
    await asyncio.to_thread(fleet.wait_ready)
    ledger, rng = Ledger(), random.Random(20)
    load = Load(ledger, fleet.gateway_url, 20, Mix(pause_s=0.1))
    urls = [f"{part.ready_url.removesuffix('/readyz')}/api/v1/logs/tail" for part in fleet.queries]
    client = TailClient(urls[0])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        async with asyncio.timeout(30):
            while not client.last_event_id:
                await client.read_for(session, 1.0)
        await load.start(stack.settings.kafka.bootstrap_servers, stack.settings.kafka.topic)
        until_s = asyncio.get_running_loop().time() + _DURATION_S
        while asyncio.get_running_loop().time() < until_s:
            # Now at one process, now at the other: what an id means does not depend on who made it.
            client.url = rng.choice(urls)
            await client.read_for(session, rng.uniform(0.05, 1.5))
            await asyncio.sleep(rng.uniform(0.0, 0.3))
        await load.stop()

        async def has_all() -> bool:
            await client.read_for(session, 1.0)
            return ledger.count(Fate.ACKED) <= len({sent["id"] for sent in client.of_kind("log")})

        await eventually(has_all, "the tail has what was acknowledged", 60)
    logs = client.of_kind("log")
    assert client.of_kind("skipped") == []
    assert [count for count in Counter(log["id"] for log in logs).values() if count > 1] == []
    assert client.connections > 5
    numbers = {log["message"].partition(" ")[0] for log in logs}
    missing = [number for number, fate in ledger.fates() if fate is Fate.ACKED and number not in numbers]
    assert missing == []
    await _stored_as_shown(stack, fleet, logs)
    print(f"{len(logs)} events over {client.connections} connections; {ledger.summary()}")


async def _stored_as_shown(stack: Stack, fleet: Fleet, logs: list[dict[str, object]]) -> None:
    """What was shown is what is stored: all of it, and each field of some."""

    async def stored() -> bool:
        connection = await asyncpg.connect(stack.postgres_dsn)
        count = await connection.fetchval("SELECT count(*) FROM logs")
        await connection.close()
        return bool(count == len(logs))

    await eventually(stored, "as many events are stored as were shown", 60)
    for log in random.Random(1).sample(logs, 50):
        path = f"/api/v1/logs/{log['id']}?timestamp={str(log['timestamp']).replace('+', '%2B')}"
        status, found = await asyncio.to_thread(http_json, f"{fleet.query_url}{path}")
        assert status == 200, found
        # Of an event that was sent twice, the store may have met the other record first.
        shown = {name: value for name, value in log.items() if name != "ingested_at"}
        assert {name: found[name] for name in shown} == shown
