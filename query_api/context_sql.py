"""SQL of the events around one: what the same source logged just before and just after it."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from query_api.sql import COLUMNS, each_of
from query_api.statement import Arguments, Statement
from query_api.timeline import HOUR, MINUTE, Window, floor_to
from stream_app.contract import COUNT_MINUTE, LOGS, ROLLUP_HOUR, ROLLUP_MINUTE

# How far from the event others are looked for.
LOOKED_AROUND: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an event: up to `limit` events of its source, the nearest first."""

    source: str
    ts: datetime
    id: UUID
    limit: int
    is_before: bool

    @property
    def order(self) -> str:
        """Of time and id."""
        return "DESC" if self.is_before else "ASC"

    def within(self) -> Window:
        """The time that is looked at."""
        if self.is_before:
            return Window(self.ts - LOOKED_AROUND, self.ts + timedelta(microseconds=1))
        return Window(self.ts, self.ts + LOOKED_AROUND)

    def cut(self, bucket: datetime, step: timedelta) -> Window:
        """What an hour or minute has on this side."""
        within = self.within()
        return Window(max(bucket, within.start), min(bucket + step, within.end))


def hours(side: Side) -> Statement:
    """Rows (bucket, n): the nearest hours in which the source logged, and how many events it has there.

    One more than events are wanted: each has one at least, but that of the event itself may have none on this side.
    """
    arguments = Arguments()
    within = side.within()
    start, end = arguments.add(floor_to(within.start, HOUR)), arguments.add(within.end)
    return arguments.statement(
        f"SELECT bucket, sum(n)::bigint AS n FROM {ROLLUP_HOUR} WHERE bucket >= {start} AND bucket < {end}"
        f" AND source = {arguments.add(side.source)} AND n > 0 GROUP BY bucket"
        f" ORDER BY bucket {side.order} LIMIT {arguments.add(side.limit + 1)}"
    )


def minutes(side: Side, within: Sequence[Window]) -> Statement:
    """Rows (bucket, n): the nearest minutes in which the source logged, and how many events of any source they have."""
    arguments = Arguments()
    visited = each_of(arguments, [Window(floor_to(window.start, MINUTE), window.end) for window in within])
    source = arguments.add(side.source)
    return arguments.statement(
        f"SELECT near.bucket, (SELECT sum(n)::bigint FROM {COUNT_MINUTE} AS c WHERE c.bucket = near.bucket) AS n FROM ("
        f"SELECT found.bucket FROM {visited} (SELECT DISTINCT bucket FROM {ROLLUP_MINUTE}"
        f" WHERE bucket >= w.a AND bucket < w.z AND source = {source} AND n > 0) AS found"
        f" ORDER BY found.bucket {side.order} LIMIT {arguments.add(side.limit + 1)}) AS near"
        f" ORDER BY near.bucket {side.order}"
    )


def events(side: Side, windows: Sequence[Window], limit: int) -> Statement:
    """The nearest events, of these stretches of time."""
    arguments = Arguments()
    visited = each_of(arguments, windows)
    beyond = f"(ts, id) {'<' if side.is_before else '>'} ({arguments.add(side.ts)}, {arguments.add(side.id)})"
    order, most = f"ORDER BY ts {side.order}, id {side.order}", arguments.add(limit)
    source = arguments.add(side.source)
    return arguments.statement(
        f"SELECT {COLUMNS} FROM {visited} (SELECT {COLUMNS} FROM {LOGS} WHERE ts >= w.a AND ts < w.z AND {beyond}"
        f" AND source = {source} {order} LIMIT {most}) AS found {order} LIMIT {most}"
    )
