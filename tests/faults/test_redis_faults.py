"""Rows B10 and B11: Redis emptied, frozen, killed, full, filled with other things; and a herd on a cold cache."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from stream_app.contract import RedisKeys
from tests.e2e.fleet import Fleet
from tests.faults.intensity import Intensity, row, struck
from tests.faults.under_load import Run, start, under_load
from tests.processes import Spawner, http_json
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
HERD = 200


async def on_redis(stack: Stack, *commands: tuple[str | int, ...]) -> list[Any]:
    """What Redis answers."""
    client: Any = redis.asyncio.from_url(stack.redis_url)
    try:
        return [await client.execute_command(*command) for command in commands]
    finally:
        await client.aclose()


async def emptied(run: Run) -> None:
    """Everything is gone, and gone again."""
    for _ in range(3):
        await on_redis(run.stack, ("FLUSHALL",))
        await run.grown(300)


async def frozen(run: Run) -> None:
    """It takes connections and says nothing."""
    run.stack.servers.redis.freeze()
    try:
        await run.grown(1000)
    finally:
        run.stack.servers.redis.thaw()


async def killed(run: Run) -> None:
    """It is gone, and comes back empty."""
    run.stack.servers.redis.kill()
    await run.grown(1000)
    await start(run.stack.servers.redis)


def full(policy: str) -> Callable[[Run], Awaitable[None]]:
    """It has room for nothing: it refuses to write, or throws away what it has."""

    async def fault(run: Run) -> None:
        client: Any = redis.asyncio.from_url(run.stack.redis_url, decode_responses=True)
        before = await client.config_get("maxmemory*")
        await client.config_resetstat()
        await client.config_set("maxmemory-policy", policy)
        await client.config_set("maxmemory", "1mb")
        try:
            await run.grown(1000)
            found = await client.info("all")
            refused = [name for name in found if name.startswith("errorstat_OOM")]
            struck(found["evicted_keys"] or refused, "Redis had room enough")
        finally:
            for name in ("maxmemory", "maxmemory-policy"):
                await client.config_set(name, before[name])
            await client.aclose()

    return fault


async def of_another_kind(run: Run) -> None:
    """Somebody else wrote under our names."""
    keys = RedisKeys(run.stack.settings.redis.key_prefix)
    for name in (keys.total_counts, keys.recent):
        await on_redis(run.stack, ("DEL", name), ("SET", name, "something else"))
    await run.grown(500)


KINDS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "emptied": emptied,
    "frozen": frozen,
    "killed": killed,
    "full-noeviction": full("noeviction"),
    "full-allkeys-lru": full("allkeys-lru"),
    "of-another-kind": of_another_kind,
}


@row("B10")
@pytest.mark.parametrize("kind", KINDS)
async def test_trouble_with_redis_makes_no_answer_wrong(
    stack: Stack, spawn: Spawner, intensity: Intensity, kind: str
) -> None:
    compared = 0

    async def compare(run: Run) -> None:
        """What the query API says of the newest events while Redis has trouble is what it says a while later."""
        nonlocal compared
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            while True:
                async with session.get(f"{run.fleet.query_url}/api/v1/logs/recent?limit=200") as answer:
                    assert answer.status == 200, await answer.text()
                    found = await answer.json()
                times = [event["timestamp"] for event in found["logs"]]
                assert times == sorted(times, reverse=True)
                assert len({event["id"] for event in found["logs"]}) == found["count"]
                compared += 1
                await asyncio.sleep(0.1)

    async def faults(run: Run) -> None:
        comparing = asyncio.create_task(compare(run))
        await KINDS[kind](run)
        if comparing.done():
            comparing.result()
        comparing.cancel()

    await under_load(stack, spawn, faults, seed=intensity.seed, fleet=Fleet(stack, spawn, queries=1))
    struck(compared, "nothing was asked meanwhile")
    intensity.saw(f"{kind}: {compared} answers, every one 200, in order and without doubles; Redis agreed again")


@row("B11")
async def test_a_herd_on_a_cold_cache_asks_postgresql_once(stack: Stack, spawn: Spawner, intensity: Intensity) -> None:
    fleet = Fleet(stack, spawn, workers=0, queries=1)
    await asyncio.to_thread(fleet.wait_ready)
    path = "/api/v1/logs/query?start_time=2026-11-24T10:00:00Z&end_time=2026-11-24T11:00:00Z"

    async def ask(session: aiohttp.ClientSession, limit: int) -> bool:
        async with session.get(f"{fleet.query_url}{path}&limit={limit}") as answer:
            assert answer.status == 200
            cached: bool = (await answer.json())["cached"]
            return cached

    connector = aiohttp.TCPConnector(limit=HERD)
    for turn in range(intensity.pick(1, 20)):
        # What is kept in Redis and what is kept in memory: neither has this one.
        await on_redis(stack, ("FLUSHALL",))
        before = http_json(f"{fleet.query_url}/api/v1/metrics")[1]["cache_misses"]
        async with aiohttp.ClientSession(connector=connector, connector_owner=False) as session:
            cached = await asyncio.gather(*(ask(session, turn + 1) for _ in range(HERD)))
        await asyncio.sleep(1.5)  # the figures are written each second
        misses = http_json(f"{fleet.query_url}/api/v1/metrics")[1]["cache_misses"] - before
        struck(not all(cached), "the cache was warm")
        assert cached.count(False) <= 2, f"{cached.count(False)} of {HERD} were read from PostgreSQL"
    await connector.close()
    intensity.saw(
        f"{HERD} equal questions at once: {cached.count(False)} read from PostgreSQL ({misses} misses counted)"
    )
