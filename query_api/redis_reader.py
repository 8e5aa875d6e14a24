"""Redis for the query API: the page cache's store and the recent lists. Its only file that imports redis.

Seen with redis-py 8.1: a client retries three times by itself unless told not to, and its time-outs are for each read,
not for a command; so every use here stands under one deadline of its own.
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

if TYPE_CHECKING:
    from threatlog.process import settings as configuration

log = logging.getLogger(__name__)
_MAX_CONNECTIONS: Final = 16
Result = TypeVar("Result")


def connect(settings: configuration.Redis) -> Redis:
    """A client that connects when it is first used and never repeats a command by itself."""
    return Redis(
        host=settings.host,
        port=settings.port,
        db=settings.database,
        password=settings.password.get_secret_value() or None,
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=_MAX_CONNECTIONS,
    )


class RedisReader:
    """PageStore and RecentSource; whatever is wrong with Redis, it says None within the timeout."""

    def __init__(self, client: Redis, keys: RedisKeys, timeout_s: float, circuit: Circuit) -> None:
        self._client = client
        self._keys = keys
        self._timeout_s = timeout_s
        self._circuit = circuit
        self._at_once = asyncio.Semaphore(_MAX_CONNECTIONS)

    @property
    def answers(self) -> bool:
        """Whether it answered last time."""
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
        return bool(await self._ask(self._client.ping))

    def _page_key(self, key: str) -> str:
        return f"{self._keys.prefix}page:{key}"

    async def _ask(self, command: Callable[[], Awaitable[Result]]) -> Result | None:
        # Waiting for others here is no failure of Redis; when they find it silent, the circuit turns the rest away.
        async with self._at_once:
            if not self._circuit.may_ask():
                return None
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await command()
            except (RedisError, OSError, TimeoutError, ValueError) as error:
                self._circuit.failed()
                log.warning("Redis does not answer; PostgreSQL does the work", extra={"why": repr(error)})
                return None
            self._circuit.succeeded()
            return answer

    async def close(self, timeout_s: float) -> None:
        """Closes its connections."""
        try:
            await asyncio.wait_for(self._client.aclose(), timeout_s)
        except (RedisError, OSError, TimeoutError):
            log.debug("Redis did not say goodbye")
