"""Whether questions can be answered: /health for people, /livez and /readyz for orchestrators."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from query_api.reading import QueryTimeoutError, StoreUnavailableError
from threatlog.access.key_watch import KeysUnknownError
from threatlog.process.problems import Problem

CHECK_TIMEOUT_S: Final = 1.0


class Store(Protocol):
    """PostgreSQL. Raises StoreUnavailableError or QueryTimeoutError."""

    async def ping(self, timeout_s: float) -> None: ...


class Helper(Protocol):
    """Redis: whether it answers."""

    async def ping(self) -> bool: ...


class Keys(Protocol):
    """The API keys. Raises KeysUnknownError."""

    def check_known(self) -> None: ...


@dataclass(slots=True)
class Health:
    """Asks both services; `stopping` turns true for good when the process begins to end."""

    store: Store
    redis: Helper
    keys: Keys | None = None
    stopping: bool = False

    def stop(self) -> None:
        """From now on no new requests should be sent here."""
        self.stopping = True

    async def check(self) -> dict[str, str]:
        """The answer of /health. Raises Problem 503 without PostgreSQL, or while stopping."""
        if self.stopping:
            raise Problem(503, "stopping", "this process is stopping", extra={"health": "stopping"})
        wrong, redis_answers = await asyncio.gather(self._store_trouble(), self.redis.ping())
        redis = "connected" if redis_answers else "disconnected"
        if wrong is not None:
            about = {"health": "unhealthy", "postgres": "disconnected", "redis": redis}
            raise Problem(503, "postgres_unavailable", wrong, extra=about)
        try:
            if self.keys is not None:
                self.keys.check_known()
        except KeysUnknownError as error:
            about = {"health": "unhealthy", "postgres": "connected", "redis": redis}
            raise Problem(503, "keys_unknown", str(error), extra=about) from None
        return {"status": "healthy" if redis_answers else "degraded", "postgres": "connected", "redis": redis}

    async def _store_trouble(self) -> str | None:
        try:
            await self.store.ping(CHECK_TIMEOUT_S)
        except (StoreUnavailableError, QueryTimeoutError) as error:
            return str(error)
        return None
