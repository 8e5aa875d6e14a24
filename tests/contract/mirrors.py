"""The mirror in memory and Redis, each with a look at what it holds, told of windows of one store in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import msgspec
import orjson
from redis.asyncio import Redis

from ingest_gateway.contract import SEVERITIES, moment_of
from stream_app.contract import RECENT_EVENTS, RedisKeys, count_member
from stream_app.mirror_parts import Recent, Snapshot
from stream_app.outcomes import Stored, StoreUnavailableError
from stream_app.recent_event import RecentEvent, member
from stream_app.redis_mirror import RedisMirror
from tests.fakes.kafka_records import NOON_MS, FakeRecord, chunk, window
from tests.fakes.memory_mirror import MemoryMirror
from tests.fakes.memory_store import MemoryStore


class MemorySnapshots:
    """What PostgreSQL would say, from a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.until_us: dict[int, int] = {}
        self.away = False
        self.taken = 0

    async def snapshot(self, now_s: float) -> Snapshot:
        """Everything that a mirror holds."""
        if self.away:
            raise StoreUnavailableError("away")
        self.taken += 1
        minutes: dict[int, dict[str, int]] = {}
        for cell, count in self._store.minutes.items():
            minutes.setdefault(cell.unix_minute, {})[count_member(SEVERITIES[cell.severity], cell.source)] = count
        totals = {count_member(SEVERITIES[severity], source): n for (severity, source), n in self._store.totals.items()}
        recent = {severity: self._recent(severity, now_s) for severity in (None, *range(len(SEVERITIES)))}
        return Snapshot(minutes, totals, recent, dict(self.until_us))

    def _recent(self, severity: int | None, now_s: float) -> list[tuple[bytes, int]]:
        rows = [
            row
            for _, row in sorted(self._store.logs.items(), reverse=True)
            if severity in (None, row.severity) and row.ts_us <= (now_s + 600) * 1_000_000
        ]
        return [
            (
                member(
                    RecentEvent(
                        str(UUID(bytes=row.id)),
                        moment_of(row.ts_us),
                        SEVERITIES[row.severity],
                        row.event.source,
                        row.event.message,
                        moment_of(row.received_us),
                        row.event.attributes if row.event.attributes else msgspec.UNSET,
                    )
                ),
                row.ts_us,
            )
            for row in rows[:RECENT_EVENTS]
        ]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = NOON_MS / 1000

    def __call__(self) -> float:
        return self.now_s


class MirrorUnderTest(Protocol):
    """A mirror, and a look at what it holds."""

    async def apply(self, stored: Stored, until_ms: Mapping[int, int], *, more_waits: bool) -> bool: ...
    async def tell(self) -> None: ...
    async def move_stored_until(self, until_ms: Mapping[int, int]) -> None: ...
    async def add_recent(self, recent: Recent) -> None: ...
    def mark_stale(self) -> None: ...
    def mark_set_back(self) -> None: ...
    async def wipe(self) -> None:
        """Empties it behind its back."""
        ...

    async def is_seeded(self) -> bool: ...
    async def minute(self, unix_minute: int) -> dict[str, int]: ...
    async def totals(self) -> dict[str, int]: ...
    async def recent(self, severity: int | None = None) -> list[bytes]:
        """Newest first."""
        ...

    async def until_us(self) -> dict[int, int]: ...


class MemoryMirrorAdapter:
    """The mirror in memory."""

    def __init__(self, snapshots: MemorySnapshots, clock: Clock) -> None:
        self._mirror = MemoryMirror(snapshots, clock)
        self.apply, self.tell, self.mark_stale = self._mirror.apply, self._mirror.tell, self._mirror.mark_stale
        self.move_stored_until, self.mark_set_back = self._mirror.move_stored_until, self._mirror.mark_set_back
        self.add_recent = self._mirror.add_recent

    async def wipe(self) -> None:
        self._mirror.wipe()

    async def is_seeded(self) -> bool:
        return self._mirror.seeded

    async def minute(self, unix_minute: int) -> dict[str, int]:
        return self._mirror.minute_counts.get(unix_minute, {})

    async def totals(self) -> dict[str, int]:
        return self._mirror.total_counts

    async def recent(self, severity: int | None = None) -> list[bytes]:
        return list(self._mirror.recent.get(severity, {}))

    async def until_us(self) -> dict[int, int]:
        return self._mirror.stored_until_us


class CountedFigures:
    """Counts what a mirror tells of itself."""

    def __init__(self) -> None:
        self.retries: list[str] = []
        self.rebuilds = 0

    def retried(self, dependency: str) -> None:
        self.retries.append(dependency)

    def rebuilt(self) -> None:
        self.rebuilds += 1


class RedisMirrorAdapter:
    """Redis."""

    def __init__(self, client: Redis, prefix: str, snapshots: MemorySnapshots, clock: Clock) -> None:
        self.client: Any = client
        self.keys = RedisKeys(prefix)
        self.figures = CountedFigures()
        self.mirror = RedisMirror(client, self.keys, snapshots, clock, self.figures)
        self.apply, self.tell, self.mark_stale = self.mirror.apply, self.mirror.tell, self.mirror.mark_stale
        self.move_stored_until, self.mark_set_back = self.mirror.move_stored_until, self.mirror.mark_set_back
        self.add_recent = self.mirror.add_recent

    async def wipe(self) -> None:
        await self.client.flushdb()

    async def is_seeded(self) -> bool:
        return bool(await self.client.exists(self.keys.seeded))

    async def _counts(self, key: str) -> dict[str, int]:
        return {name.decode(): int(count) for name, count in await self.client.zrange(key, 0, -1, withscores=True)}

    async def minute(self, unix_minute: int) -> dict[str, int]:
        return await self._counts(self.keys.minute_counts(unix_minute))

    async def totals(self) -> dict[str, int]:
        return await self._counts(self.keys.total_counts)

    async def recent(self, severity: int | None = None) -> list[bytes]:
        key = self.keys.recent if severity is None else self.keys.recent_of(severity)
        found: list[bytes] = await self.client.zrevrange(key, 0, -1)
        return found

    async def until_us(self) -> dict[int, int]:
        return {int(name): int(us) for name, us in (await self.client.hgetall(self.keys.stored_until)).items()}


@dataclass
class Told:
    """A store and a mirror that is told of its windows."""

    store: MemoryStore
    snapshots: MemorySnapshots
    clock: Clock
    mirror: MirrorUnderTest
    next_offset: int = 0

    async def write(self, *records: FakeRecord, tell: bool = True, more_waits: bool = False) -> bool:
        """Stores records (their offsets are set here) and tells the mirror."""
        numbered = [FakeRecord(self.next_offset + n, r.value, r.key, r.timestamp) for n, r in enumerate(records)]
        start = await self.store.positions({0: 0})
        made = window([chunk(0, numbered)], start)
        stored = await self.store.write(made)
        self.next_offset += len(records)
        self.snapshots.until_us[0] = made.fenced.appended_ms[0] * 1000
        return await self.mirror.apply(stored, made.fenced.appended_ms, more_waits=more_waits) if tell else False

    async def messages(self, severity: int | None = None) -> list[str]:
        return [orjson.loads(content).get("message") for content in await self.mirror.recent(severity)]
