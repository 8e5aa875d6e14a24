"""Finished answers kept for a while: here, and in Redis for every process; each question is computed once at a time."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from query_api.abandoned import is_abandoned
from query_api.answer_memory import AnswerMemory, KeptAnswer
from query_api.single_flight import SingleFlight
from query_api.telemetry import CacheResult


class PageStore(Protocol):
    """Where finished answers are kept. It may lose or refuse anything; it never raises and never waits long."""

    async def get(self, key: str) -> bytes | None:
        """What was kept under the key; None when there is nothing, or nobody to ask."""
        ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for the time, if it can be kept."""
        ...


class CacheFigures(Protocol):
    """Counts how questions were answered."""

    def cache_answered(self, result: CacheResult) -> None: ...


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How old an answer may be that is given again, and how much of this process's memory answers may take."""

    enabled: bool
    ttl_s: float
    open_range_ttl_s: float
    max_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Made:
    """A new answer. `is_closed`: its range was complete when it was made, so only late events can change it."""

    body: bytes
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer; `age_s` since its snapshot was taken, None when it was made because of this request."""

    body: bytes
    age_s: float | None


@dataclass(frozen=True, slots=True)
class _Found:
    body: bytes
    snapshot_s: float
    is_new: bool


# When the snapshot was taken and how old it may get, in microseconds since 1970 and in microseconds.
_HEAD: Final = struct.Struct(">qq")
# A larger answer costs Redis more than it saves here.
MAX_KEPT_BYTES: Final = 1024 * 1024
# Answers that are being put into the store; one more is not kept.
_MOST_PUTS: Final = 16


class PageCache:
    """Answers from memory or the store while they are young enough, else makes them, once for all who ask meanwhile.

    The store is asked only about what costs more to make than to ask for. What counts can answer does not: with busy
    cores, a way to Redis and back takes as long as one to PostgreSQL, and came before it.
    """

    def __init__(
        self, store: PageStore, policy: CachePolicy, now_s: Callable[[], float], figures: CacheFigures
    ) -> None:
        self._store = store
        self._policy = policy
        self._now_s = now_s
        self._figures = figures
        self._memory = AnswerMemory(policy.max_memory_bytes)
        self._flights: SingleFlight[str, _Found] = SingleFlight(now_s)
        self._puts: set[asyncio.Task[None]] = set()

    async def answer(self, key: str, make: Callable[[], Awaitable[Made]], *, is_costly: bool) -> Answer:
        """The answer to the question `key`. Raises what `make` raises.

        Nothing is given whose snapshot was older than the ttl when it was asked for. The time is kept with the answer,
        so a store that forgets to expire it does no harm. An answer that another request is waiting for is shared while
        it is younger than the shortest ttl: which one will apply is known only when it is there.
        """
        if not self._policy.enabled:
            self._figures.cache_answered("bypass")
            return Answer((await make()).body, None)
        kept = self.kept(key)
        if kept is not None:
            return kept
        shared = self._flights.join(key, min(self._policy.ttl_s, self._policy.open_range_ttl_s))
        if shared is not None:
            found = await shared
            self._figures.cache_answered("shared")
            return self._aged(found.body, found.snapshot_s)
        found = await self._flights.begin(key, self._kept_or_made(key, make, is_costly))
        return Answer(found.body, None) if found.is_new else self._aged(found.body, found.snapshot_s)

    def kept(self, key: str) -> Answer | None:
        """The answer, if it is in the memory of this process and young enough."""
        kept = self._memory.get(key, self._now_s())
        if kept is None or not self._policy.enabled:
            return None
        self._figures.cache_answered("hit")
        return self._aged(kept.body, kept.snapshot_s)

    def _aged(self, body: bytes, snapshot_s: float) -> Answer:
        return Answer(body, max(self._now_s() - snapshot_s, 0.0))

    async def _kept_or_made(self, key: str, make: Callable[[], Awaitable[Made]], is_costly: bool) -> _Found:
        kept = await self._store.get(key) if is_costly else None
        started_s = self._now_s()
        if kept is not None and len(kept) > _HEAD.size:
            made_us, ttl_us = _HEAD.unpack_from(kept)
            if started_s * 1_000_000 - made_us <= ttl_us:
                self._figures.cache_answered("hit")
                answer = KeptAnswer(kept[_HEAD.size :], made_us / 1_000_000, ttl_us / 1_000_000)
                self._memory.put(key, answer)
                return _Found(answer.body, answer.snapshot_s, is_new=False)
        self._figures.cache_answered("miss")
        made = await make()
        # Cut short because nobody waits for it, it is nothing for others.
        if not is_abandoned():
            self._keep(key, made, started_s, is_costly)
        return _Found(made.body, started_s, is_new=True)

    def _keep(self, key: str, made: Made, started_s: float, is_costly: bool) -> None:
        """Puts it into the store while the answer goes out: nobody waits for that."""
        ttl_s = self._policy.ttl_s if made.is_closed else self._policy.open_range_ttl_s
        if ttl_s <= 0 or len(made.body) > MAX_KEPT_BYTES:
            return
        self._memory.put(key, KeptAnswer(made.body, started_s, ttl_s))
        if not is_costly or len(self._puts) >= _MOST_PUTS:
            return
        head = _HEAD.pack(int(started_s * 1_000_000), int(ttl_s * 1_000_000))
        put = asyncio.create_task(self._put(key, head + made.body, ttl_s))
        self._puts.add(put)
        put.add_done_callback(self._puts.discard)

    async def _put(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._store.put(key, value, ttl_s)
