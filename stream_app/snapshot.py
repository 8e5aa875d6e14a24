"""Reads from PostgreSQL what Redis is to hold: all of it for a rebuild, or the events of some time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ingest_gateway.contract import SEVERITIES, unix_us
from stream_app import statements as sql
from stream_app.contract import (
    MAX_RECENT_AHEAD_S,
    MINUTE_COUNTS_AHEAD_S,
    MINUTE_COUNTS_KEPT_S,
    RECENT_EVENTS,
    count_member,
)
from stream_app.mirror_parts import Recent, Snapshot
from stream_app.pending import Member
from stream_app.postgres_store import PostgresStore
from stream_app.recent_event import RecentEvent, member


class PostgresSnapshots:
    """A SnapshotSource over the store's tables."""

    def __init__(self, store: PostgresStore, topic: str) -> None:
        self._store = store
        self._topic = topic

    async def snapshot(self, now_s: float) -> Snapshot:
        """Everything that Redis holds. Positions are read first: the lists hold at least what they promise."""
        now = datetime.fromtimestamp(now_s, UTC)
        until = await self._store.fetch(sql.STORED_UNTIL, self._topic)
        minutes: dict[int, dict[str, int]] = {}
        oldest = now - timedelta(seconds=MINUTE_COUNTS_KEPT_S)
        newest = now + timedelta(seconds=MINUTE_COUNTS_AHEAD_S)
        for row in await self._store.fetch(sql.MINUTE_COUNTS, oldest, newest):
            counts = minutes.setdefault(row["minute"], {})
            counts[count_member(SEVERITIES[row["severity"]], row["source"])] = row["n"]
        totals = {
            count_member(SEVERITIES[row["severity"]], row["source"]): row["n"]
            for row in await self._store.fetch(sql.TOTAL_COUNTS)
        }
        recent = {severity: await self._recent(now, severity) for severity in (None, *range(len(SEVERITIES)))}
        return Snapshot(minutes, totals, recent, {row["partition"]: unix_us(row["stored_until"]) for row in until})

    async def recent_between(self, after: datetime, until: datetime) -> Recent:
        """The newest events of that time, as the recent lists hold them; nothing at all is one quick look."""
        found = await self._between(after, until, None)
        if not found:
            return {}
        return {None: found} | {
            severity: await self._between(after, until, severity) for severity in range(len(SEVERITIES))
        }

    async def _between(self, after: datetime, until: datetime, severity: int | None) -> list[Member]:
        return _members(await self._store.fetch(sql.RECENT_BETWEEN, after, until, RECENT_EVENTS, severity))

    async def _recent(self, now: datetime, severity: int | None) -> list[Member]:
        latest = now + timedelta(seconds=MAX_RECENT_AHEAD_S)
        if severity is None:
            return _members(await self._store.fetch(sql.RECENT, latest, RECENT_EVENTS))
        return _members(await self._store.fetch(sql.RECENT_OF_SEVERITY, latest, RECENT_EVENTS, severity))


def _members(rows: Iterable[Any]) -> list[Member]:
    return [
        (
            member(
                RecentEvent(
                    str(row["id"]),
                    row["ts"],
                    SEVERITIES[row["severity"]],
                    row["source"],
                    row["message"],
                    row["received_at"],
                    msgspec.UNSET if row["attributes"] is None else msgspec.Raw(row["attributes"].encode()),
                )
            ),
            unix_us(row["ts"]),
        )
        for row in rows
    ]
