"""Redis for the query API: the page cache's store and the recent lists. Its only file that imports redis.

Seen with redis-py 8.1: a client retries three times by itself unless told not to, and its time-outs are for each read,
not for a command, and drop an answer that has come when the event loop is late. So it has none, and every use here
stands under one deadline of its own; a command that is cancelled closes its connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from query_api.circuit import Circuit
from query_api.recent_lists import RecentLists
from stream_app.contract import RedisKeys
from threatlog.process.redis_connection import connect_keywords, reason

if TYPE_CHECKING:
    from threatlog.process import server_settings as configuration

log = logging.getLogger(__name__)
_AT_ONCE: Final = 16
# When our own event loop was late, an answer that is nearly here is waited for this much longer.
_LATE_S: Final = 0.005
Result = TypeVar("Result")


def connect(settings: configuration.Redis) -> Redis:
    """A client that connects when it is first used and never repeats a command by itself."""
    return Redis(
        **connect_keywords(settings),
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        max_connections=_AT_ONCE + 1,
    )


class RedisReader:
    """PageStore and RecentSource; whatever is wrong with Redis, it says None within the timeout."""

    def __init__(self, client: Redis, keys: RedisKeys, timeout_s: float, circuit: Circuit) -> None:
        self._client = client
        self._keys = keys
        self._timeout_s = timeout_s
        self._circuit = circuit
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # How busy the others are says nothing about health.
        self._ping_turn = asyncio.Semaphore(1)

    @property
    def answers(self) -> bool:
        """Whether it is asked, since it answers."""
        return self._circuit.is_closed

    async def get(self, key: str) -> bytes | None:
        """What was kept under the key."""
        found = await self._ask(lambda: self._client.get(self._page_key(key)))
        return found if isinstance(found, bytes) else None

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for the time."""
        await self._ask(lambda: self._client.set(self._page_key(key), value, px=max(int(ttl_s * 1000), 1)))

    async def recent_lists(self, severities: Sequence[int], limit: int) -> RecentLists | None:
        """The newest members of the lists of these severities (empty: of the list of all), of one moment."""

        async def ask() -> list[Any]:
            pipe = self._client.pipeline(transaction=True)
            pipe.exists(self._keys.seeded)
            pipe.hgetall(self._keys.stored_until)
            for key in [self._keys.recent_of(code) for code in severities] or [self._keys.recent]:
                pipe.zrevrange(key, 0, limit - 1, withscores=True)
            return await pipe.execute()

        answer = await self._ask(ask)
        if answer is None or not answer[0]:
            return None
        until_us = {int(partition): int(us) for partition, us in answer[1].items()}
        members = [(int(score), bytes(member)) for found in answer[2:] for member, score in found]
        # Members of one time follow each other by their id, which is what they begin with.
        members.sort(reverse=True)
        return RecentLists(until_us, [member for _, member in members[:limit]])

    async def ping(self) -> bool:
        """Whether it answers now."""
        return bool(await self._ask(self._client.ping, self._ping_turn))

    def _page_key(self, key: str) -> str:
        return f"{self._keys.prefix}page:{key}"

    async def _ask(
        self, command: Callable[[], Awaitable[Result]], turns: asyncio.Semaphore | None = None
    ) -> Result | None:
        """The answer within the timeout, of which up to half is spent on waiting for others; None when there is none.

        Waiting for others in vain is no failure of Redis.
        """
        turns = turns or self._turns
        latest_s = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(latest_s - self._timeout_s / 2):
                await turns.acquire()
        except TimeoutError:
            return None
        if not self._circuit.may_ask():
            turns.release()
            return None
        asking = asyncio.ensure_future(command())
        # A command that is given up keeps its turn until its connection is free.
        asking.add_done_callback(lambda asked: _over(asked, turns))
        try:
            answer = await _answer(asking, latest_s)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._circuit.failed()
            log.warning("Redis does not answer; PostgreSQL does the work", extra={"why": reason(error)})
            return None
        self._circuit.succeeded()
        return answer

    async def close(self, timeout_s: float) -> None:
        """Closes its connections."""
        try:
            await asyncio.wait_for(self._client.aclose(), timeout_s)
        except (RedisError, OSError, TimeoutError):
            log.debug("Redis did not say goodbye")


def _over(asked: asyncio.Future[Any], turns: asyncio.Semaphore) -> None:
    turns.release()
    if not asked.cancelled():
        asked.exception()  # Looked at, also when it was given up meanwhile.


async def _answer(asking: asyncio.Future[Result], latest_s: float) -> Result:
    """What Redis says until then; raises TimeoutError. What came while our own event loop was late is taken."""
    now_s = asyncio.get_running_loop().time
    try:
        await asyncio.wait({asking}, timeout=latest_s - now_s())
        if not asking.done() and (late_s := now_s() - latest_s) > 0:
            await asyncio.wait({asking}, timeout=min(late_s, _LATE_S))
        if asking.done():
            return asking.result()
        raise TimeoutError
    finally:
        asking.cancel()
