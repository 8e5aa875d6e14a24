"""A mirror in memory: counters and recent events as Redis is to hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stream_app.contract import MAX_RECENT_AHEAD_S, RECENT_EVENTS
from stream_app.mirror_parts import Recent, SnapshotSource
from stream_app.outcomes import Stored
from stream_app.pending import Pending, newest


class MemoryMirror:
    """Told of windows as RedisMirror is. `wipe` empties it, as a restart empties Redis."""

    def __init__(self, source: SnapshotSource, now_s: Callable[[], float]) -> None:
        self._source = source
        self._now_s = now_s
        self._stale = True
        self.wipe()

    def wipe(self) -> None:
        """Forgets everything."""
        self.seeded = False
        self.minute_counts: dict[int, dict[str, int]] = {}
        self.total_counts: dict[str, int] = {}
        self.recent: dict[int | None, dict[bytes, int]] = {}
        self.stored_until_us: dict[int, int] = {}

    def mark_stale(self) -> None:
        """Rebuilds before it is next told anything."""
        self._stale = True

    def mark_set_back(self) -> None:
        """Empties and rebuilds before it is next told anything."""
        self.wipe()
        self._stale = True

    async def apply(self, stored: Stored, until_ms: Mapping[int, int], *, more_waits: bool) -> bool:  # noqa: ARG002
        """Takes one window at once."""
        pending = Pending()
        pending.add(stored, until_ms, int((self._now_s() + MAX_RECENT_AHEAD_S) * 1_000_000))
        await self._take(pending)
        return True

    async def tell(self) -> None:
        """Nothing is ever put off."""

    async def add_recent(self, recent: Recent) -> None:
        """Members of the recent lists."""
        for severity, members in recent.items():
            self._push(severity, dict(members))

    async def move_stored_until(self, until_ms: Mapping[int, int]) -> None:
        """At the end of partitions."""
        pending = Pending()
        pending.move_until(until_ms)
        await self._take(pending)

    async def _take(self, pending: Pending) -> None:
        if self._stale or not self.seeded:
            snapshot = await self._source.snapshot(self._now_s())
            for minute, counts in snapshot.minute_counts.items():
                self._raise_to(self.minute_counts.setdefault(minute, {}), counts)
            self._raise_to(self.total_counts, snapshot.total_counts)
            await self.add_recent(snapshot.recent)
            self.stored_until_us.update(snapshot.stored_until_us)
            self.seeded, self._stale = True, False
        for minute, counts in pending.minute_counts.items():
            self._raise_to(self.minute_counts.setdefault(minute, {}), counts)
        self._raise_to(self.total_counts, pending.total_counts)
        for severity in pending.severities():
            members = pending.recent_of(severity)
            self._push(severity, dict(members))
            self._push(None, dict(newest(members)))
        self.stored_until_us.update(pending.until_us)

    @staticmethod
    def _raise_to(held: dict[str, int], counts: Mapping[str, int]) -> None:
        for member, count in counts.items():
            held[member] = max(count, held.get(member, 0))

    def _push(self, severity: int | None, members: Mapping[bytes, int]) -> None:
        held = self.recent.setdefault(severity, {})
        held.update(members)
        # Redis orders members of one score by their bytes.
        kept = sorted(held.items(), key=lambda item: (item[1], item[0]), reverse=True)[:RECENT_EVENTS]
        self.recent[severity] = dict(kept)
