"""What a Redis that is slow or silent costs, and what is not held against it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from query_api.circuit import Circuit
from query_api.redis_reader import RedisReader
from stream_app.contract import RedisKeys

TIMEOUT_S = 0.05


class ScriptedRedis:
    """A client whose every command does what the test says."""

    def __init__(self, command: Callable[[], Awaitable[bytes | None]]) -> None:
        self.command = command
        self.asked = 0

    async def get(self, _key: str) -> bytes | None:
        self.asked += 1
        return await self.command()

    async def ping(self) -> bool:
        return True


async def silence() -> bytes | None:
    await asyncio.Event().wait()
    return None


def reader_over(client: ScriptedRedis, timeout_s: float = TIMEOUT_S) -> RedisReader:
    return RedisReader(cast(Any, client), RedisKeys("t:"), timeout_s, Circuit(time.monotonic))


async def test_an_answer_that_came_while_our_own_loop_was_late_is_taken() -> None:
    async def quick() -> bytes:
        await asyncio.sleep(TIMEOUT_S / 50)
        return b"v"

    reader = reader_over(ScriptedRedis(quick))
    asking = [asyncio.create_task(reader.get("k")) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(TIMEOUT_S * 2)  # noqa: ASYNC251 - the loop is late because of this
    assert await asyncio.gather(*asking) == [b"v"] * 10
    assert reader.answers


async def test_many_who_ask_a_silent_redis_wait_once_and_the_circuit_opens() -> None:
    client = ScriptedRedis(silence)
    reader = reader_over(client)
    started = time.monotonic()
    assert await asyncio.gather(*(reader.get("k") for _ in range(1000))) == [None] * 1000
    # One after the other it would be 63 times the timeout.
    assert time.monotonic() - started < 40 * TIMEOUT_S
    assert client.asked == 16
    assert not reader.answers
    assert await reader.get("k") is None
    assert client.asked == 16


async def test_to_wait_for_others_in_vain_is_no_failure() -> None:
    answering = asyncio.Event()

    async def slow() -> bytes:
        await answering.wait()
        return b"v"

    reader = reader_over(ScriptedRedis(slow), timeout_s=1.0)
    asking = [asyncio.create_task(reader.get("k")) for _ in range(200)]
    given_up, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result() for task in given_up} == {None}
    answering.set()
    assert (await asyncio.gather(*asking)).count(b"v") >= 16
    assert reader.answers


async def test_health_does_not_wait_for_those_who_use_it() -> None:
    reader = reader_over(ScriptedRedis(silence))
    asking = [asyncio.create_task(reader.get("k")) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await reader.ping()
    await asyncio.gather(*asking)
