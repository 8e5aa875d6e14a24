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
from stream_app.contract import LOGS, ROLLUP_HOUR, ROLLUP_MINUTE

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


def buckets(side: Side, step: timedelta, within: Sequence[Window]) -> Statement:
    """The nearest hours or minutes in which the source logged.

    One more than events are wanted: each has one at least, but that of the event itself may have none on this side.
    """
    arguments = Arguments()
    table = ROLLUP_HOUR if step == HOUR else ROLLUP_MINUTE
    visited = each_of(arguments, [Window(floor_to(window.start, step), window.end) for window in within])
    source = arguments.add(side.source)
    return arguments.statement(
        f"SELECT found.bucket FROM {visited} (SELECT DISTINCT bucket FROM {table} WHERE bucket >= w.a AND bucket < w.z"
        f" AND source = {source} AND n > 0) AS found"
        f" ORDER BY found.bucket {side.order} LIMIT {arguments.add(side.limit + 1)}"
    )


def events(side: Side, minutes: Sequence[datetime]) -> Statement:
    """The nearest events, of these minutes."""
    arguments = Arguments()
    visited = each_of(arguments, [Window(minute, minute + MINUTE) for minute in minutes])
    beyond = f"(ts, id) {'<' if side.is_before else '>'} ({arguments.add(side.ts)}, {arguments.add(side.id)})"
    order, limit = f"ORDER BY ts {side.order}, id {side.order}", arguments.add(side.limit)
    source = arguments.add(side.source)
    return arguments.statement(
        f"SELECT {COLUMNS} FROM {visited} (SELECT {COLUMNS} FROM {LOGS} WHERE ts >= w.a AND ts < w.z AND {beyond}"
        f" AND source = {source} {order} LIMIT {limit}) AS found {order} LIMIT {limit}"
    )
