"""Redis: counters and recent events, told after each commit, rebuilt from PostgreSQL when in doubt.

The only file of this service that imports redis. Redis costs speed only: nothing here raises, every wait is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ingest_gateway.contract import SEVERITIES
from stream_app.contract import (
    MAX_RECENT_AHEAD_S,
    MINUTE_COUNTS_AHEAD_S,
    MINUTE_COUNTS_KEPT_S,
    RECENT_EVENTS,
    RedisKeys,
)
from stream_app.mirror_parts import MirrorFigures, Recent, Snapshot, SnapshotSource
from stream_app.outcomes import Stored, StoreUnavailableError
from stream_app.pending import Pending, newest
from stream_app.redis_scripts import FINISH_REBUILD, in_turns, literally
from threatlog.process.redis_connection import connect_keywords, reason

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

    from threatlog.process import server_settings as configuration

log = logging.getLogger(__name__)
# Longer than a query may wait: the worker would rather wait a little than rebuild everything.
COMMAND_TIMEOUT_S = 1.0
# A frozen Redis holds a window up for COMMAND_TIMEOUT_S, then none for this long.
_RETRY_AFTER_S = 3.0
# A rebuild of a large database goes on beside the windows; a small one is done in this time, and windows wait for it.
_WAITED_FOR_S = 0.5
# Under a backlog most recent events are pushed out again at once; telling Redis
# of each window cost a fifth of the worker. A reader sees by `stored_until` how far the lists are.
TOGETHER_WITHIN_S = 1.0
# So few are told at once: then the newest events are in the lists as soon as they are stored.
FEW_EVENTS = 500
# Readers turn to PostgreSQL when `stored_until` is older than a few seconds.
CATCHING_UP_S = 5.0
_REBUILDING_KEPT_S = 3600


def connect(settings: configuration.Redis) -> Redis:
    """A client whose every command is bounded in time."""
    return Redis(
        **connect_keywords(settings),
        socket_timeout=COMMAND_TIMEOUT_S,
        socket_connect_timeout=COMMAND_TIMEOUT_S,
        # redis-py 8 tries three times more by itself: windows would wait five seconds for a Redis that is away.
        retry=Retry(NoBackoff(), 0),
    )


class RedisMirror:
    """Keeps the keys of RedisKeys true, or `seeded` absent."""

    def __init__(
        self,
        client: Redis,
        keys: RedisKeys,
        source: SnapshotSource,
        now_s: Callable[[], float],
        figures: MirrorFigures,
    ) -> None:
        self._client = client
        self._keys = keys
        self._source = source
        self._now_s = now_s
        self._figures = figures
        self._stale = True
        self._set_back = False
        self._away_until_s = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._pending = Pending()
        # Times that a rebuild under way has yet to make true.
        self._held_until = Pending()
        self._rebuilding: asyncio.Task[None] | None = None
        self._told_s = 0.0
        self._caught_up_s = 0.0

    def mark_stale(self) -> None:
        """Something was stored that Redis was not told of; it is rebuilt before it is next told anything."""
        self._stale = True

    def mark_set_back(self) -> None:
        """PostgreSQL was restored to an earlier state: Redis may hold what it does not, and is emptied first."""
        self._stale = self._set_back = True
        # What was told is to be stored anew, so its times are not true any more.
        self._pending, self._held_until = Pending(), Pending()

    async def apply(self, stored: Stored, until_ms: Mapping[int, int], *, more_waits: bool) -> bool:
        """Tells Redis what one window made true, or puts it off, to tell several windows together. Whether it was told.

        Put off are windows that another follows at once, and many events soon after others: see TOGETHER_WITHIN_S.
        """
        if self._is_catching_up(until_ms):
            return True
        self._pending.add(stored, until_ms, int((self._now_s() + MAX_RECENT_AHEAD_S) * 1_000_000))
        can_wait = more_waits or self._pending.size > FEW_EVENTS
        if can_wait and self._now_s() - self._told_s < TOGETHER_WITHIN_S:
            return False
        await self.tell()
        return True

    async def move_stored_until(self, until_ms: Mapping[int, int]) -> None:
        """At the end of partitions: the lists hold everything appended before these times."""
        if self._now_s() - self._caught_up_s < TOGETHER_WITHIN_S:
            return
        self._pending.move_until(until_ms)
        if not self._pending.size:
            await self.tell()
        # Else windows were put off: these times are told with them, within the second.

    def _is_catching_up(self, until_ms: Mapping[int, int]) -> bool:
        """A window of a backlog is not told: no reader uses lists this old. Redis is rebuilt once, at the end."""
        now_s = self._now_s()
        if now_s - max(until_ms.values()) / 1000 < CATCHING_UP_S:
            return False
        self._stale, self._pending, self._caught_up_s = True, Pending(), now_s
        return True

    async def tell(self) -> None:
        """Tells Redis what was put off."""
        async with self._one_at_a_time:
            # Only who begins a rebuild waits for it: else each window would, for as long as a large one takes.
            was_rebuilding = self._rebuilding is not None
            pending, self._pending = self._pending, Pending()
            self._told_s = self._now_s()
            if self._told_s < self._away_until_s:
                self._stale = True
                return
            try:
                async with asyncio.timeout(COMMAND_TIMEOUT_S):
                    await self._attempt(pending, int(self._told_s))
            except (RedisError, OSError, TimeoutError) as error:
                self._failed("Redis is away; answers come from PostgreSQL until it is back", error)
            rebuilding = self._rebuilding
        if rebuilding is not None and not was_rebuilding:
            await asyncio.wait({rebuilding}, timeout=_WAITED_FOR_S)

    async def _attempt(self, pending: Pending, now_s: int) -> None:
        """Counts are absolute and events set members, so they may be told beside a rebuild. The times may not: they say
        that the lists are whole."""
        is_whole = self._rebuilding is None and not self._stale and await self._client.exists(self._keys.seeded)
        pipe = self._client.pipeline(transaction=True)
        if not self._set_back:
            self._add(pipe, pending, now_s)
        if is_whole:
            self._move_until(pipe, pending.until_us)
        else:
            self._held_until.move_until_us(pending.until_us)
        if len(pipe):
            await pipe.execute()
        if not is_whole and self._rebuilding is None:
            self._rebuilding = asyncio.create_task(self._rebuild(), name="rebuild of Redis")

    def _failed(self, what: str, error: Exception) -> None:
        self._stale = True
        # Somebody else wrote under one of our names: it has to go, or nothing could ever be told again.
        self._set_back |= "WRONGTYPE" in str(error)
        self._away_until_s = self._now_s() + _RETRY_AFTER_S
        self._figures.retried("redis")
        log.warning(what, extra={"why": reason(error)})

    async def _rebuild(self) -> None:
        try:
            if self._set_back:
                await self._empty()
            # Before the reading: what is marked stale while it goes on is not in it.
            self._stale = False
            token = repr(self._now_s())
            await self._begin(token)
            snapshot = await self._source.snapshot(self._now_s())
            await self._put(snapshot)
            if not self._stale:
                await self._finish(snapshot, token)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed("Redis cannot be rebuilt; answers come from PostgreSQL until it is", error)
        except StoreUnavailableError as error:
            self._failed(f"{error.trouble}, so Redis is rebuilt later", error)
        except Exception as error:
            # Nobody else sees a task's error, and without the mark the lists would be taken for whole.
            self._failed("Redis cannot be rebuilt for a reason of our own; answers come from PostgreSQL", error)
        finally:
            self._rebuilding = None

    async def _begin(self, token: str) -> None:
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(self._keys.rebuilding, token, "1")
        # A worker that dies leaves its field behind. One that goes before its rebuild ends has it made once more.
        pipe.expire(self._keys.rebuilding, _REBUILDING_KEPT_S)
        await pipe.execute()

    async def _empty(self) -> None:
        """Before the snapshot is read: what another worker tells meanwhile is in the snapshot, or told after this."""
        keys = self._keys
        lists = [keys.recent, *(keys.recent_of(severity) for severity in range(len(SEVERITIES)))]
        await self._client.delete(keys.seeded, keys.rebuilding, keys.total_counts, keys.stored_until, *lists)
        async for key in self._client.scan_iter(match=literally(keys.minute_counts_prefix) + "*", count=1000):
            await self._client.delete(key)
        # Another worker may have finished or begun a rebuild meanwhile, whose minutes went with the others.
        await self._client.delete(keys.seeded, keys.rebuilding)
        self._set_back = False

    async def _put(self, snapshot: Snapshot) -> None:
        """The lists first, since readers use them; then the counts, in turns with everything else."""
        keys, now_s = self._keys, int(self._now_s())
        await self._put_recent(snapshot.recent)
        for some in in_turns(snapshot.total_counts):
            await self._client.zadd(keys.total_counts, some, gt=True)
        for minute, counts in snapshot.minute_counts.items():
            if self._is_kept(minute, now_s):
                for some in in_turns(counts):
                    await self._client.zadd(keys.minute_counts(minute), some, gt=True)
                await self._client.expire(keys.minute_counts(minute), self._kept_s(minute, now_s))

    async def _put_recent(self, recent: Recent) -> None:
        for severity, members in recent.items():
            pipe = self._client.pipeline(transaction=True)
            self._push(pipe, self._keys.recent if severity is None else self._keys.recent_of(severity), members)
            if len(pipe):
                await pipe.execute()

    async def add_recent(self, recent: Recent) -> None:
        """Adds events to the recent lists; where Redis is away, the rebuild after it does."""
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await self._put_recent(recent)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed("Redis is away; answers come from PostgreSQL until it is back", error)

    async def _finish(self, snapshot: Snapshot, token: str) -> None:
        until_us, self._held_until = self._held_until, Pending()
        until_us.move_until_us(snapshot.stored_until_us)
        names = (self._keys.rebuilding, self._keys.seeded, self._keys.stored_until)
        times = [str(value) for pair in until_us.until_us.items() for value in pair]
        answer: Any = self._client.eval(FINISH_REBUILD, len(names), *names, token, *times)
        if not await answer:
            self._stale = True
            return
        self._figures.rebuilt()
        log.info("rebuilt counters and recent events in Redis")

    @staticmethod
    def _is_kept(minute: int, now_s: int) -> bool:
        """Neither long ago nor far ahead: a sender may date an event in the year 9999."""
        return -MINUTE_COUNTS_KEPT_S <= minute * 60 - now_s <= MINUTE_COUNTS_AHEAD_S

    @staticmethod
    def _kept_s(minute: int, now_s: int) -> int:
        """From now on. The same by whichever way it is told, so that no count goes before its minute does."""
        return max(minute * 60 - now_s, -3600) + MINUTE_COUNTS_KEPT_S

    def _add(self, pipe: Pipeline, pending: Pending, now_s: int) -> None:
        keys = self._keys
        for minute, counts in pending.minute_counts.items():
            if self._is_kept(minute, now_s):
                pipe.zadd(keys.minute_counts(minute), counts, gt=True)
                pipe.expire(keys.minute_counts(minute), self._kept_s(minute, now_s))
        if pending.total_counts:
            pipe.zadd(keys.total_counts, pending.total_counts, gt=True)
        by_severity = {severity: pending.recent_of(severity) for severity in pending.severities()}
        self._push(pipe, keys.recent, newest([member for members in by_severity.values() for member in members]))
        for severity, members in by_severity.items():
            self._push(pipe, keys.recent_of(severity), members)

    @staticmethod
    def _push(pipe: Pipeline, key: str, members: Sequence[tuple[bytes, int]]) -> None:
        if members:
            pipe.zadd(key, dict(members))
            pipe.zremrangebyrank(key, 0, -RECENT_EVENTS - 1)

    def _move_until(self, pipe: Pipeline, until_us: Mapping[int, int]) -> None:
        if until_us:
            values: dict[Any, Any] = {str(partition): us for partition, us in until_us.items()}
            pipe.hset(self._keys.stored_until, mapping=values)

    async def close(self) -> None:
        """Gives up a rebuild and closes the client's connections."""
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        try:
            await asyncio.wait_for(self._client.aclose(), COMMAND_TIMEOUT_S)
        except (RedisError, OSError, TimeoutError):
            log.debug("Redis did not say goodbye")
