"""Puts events into PostgreSQL as the stream application would have stored them: rows, rollups and positions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from ingest_gateway.contract import SEVERITIES, SEVERITY_CODES, unix_us
from query_api.reading import LoggedEvent
from stream_app.filter_joining import ADD
from stream_app.prepare import Row
from stream_app.statements import ADD_FOREIGN_ID_HOURS, ADD_TO_ROLLUPS
from stream_app.word_filter import columns_of
from stream_app.word_filters import by_turns
from tests.word_rows import word_row

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US


async def store_events(
    connection: asyncpg.Connection[asyncpg.Record], events: Sequence[LoggedEvent], *, word_filters: bool = True
) -> None:
    """Adds rows with their counts and filters in one transaction, so that a reader sees all or nothing."""
    rows = [
        (
            event.id,
            event.timestamp,
            SEVERITY_CODES[event.severity],
            event.source,
            event.message,
            None if event.attributes is msgspec.UNSET else bytes(event.attributes).decode(),
            event.ingested_at,
        )
        for event in events
    ]
    cells = Counter((unix_us(ts) // _MINUTE_US, severity, source) for _, ts, severity, source, *_ in rows)
    columns = [[cell[i] for cell in cells] for i in range(3)]
    foreign = {unix_us(ts) // _HOUR_US for identifier, ts, *_ in rows if identifier.int >> 80 != unix_us(ts) // 1000}
    async with connection.transaction():
        await connection.executemany(
            "INSERT INTO logs (id, ts, severity, source, message, attributes, received_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            rows,
        )
        if cells:
            await connection.execute(ADD_FOREIGN_ID_HOURS, sorted(foreign))
            await connection.fetch(ADD_TO_ROLLUPS, *columns, list(cells.values()))
        if word_filters:
            await connection.execute(ADD, *columns_of(await by_turns(_prepared(events))))


def _prepared(events: Sequence[LoggedEvent]) -> list[Row]:
    rows = []
    for event in sorted(events, key=lambda event: event.timestamp):
        attributes = None if event.attributes is msgspec.UNSET else bytes(event.attributes)
        rows.append(word_row(unix_us(event.timestamp), event.message, attributes))
    return rows


async def store_positions(
    connection: asyncpg.Connection[asyncpg.Record],
    topic: str,
    stored_until: Mapping[int, datetime],
    next_offset: int = 0,
    worker: str = "stream-test-1",
) -> None:
    """Moves the position of each partition."""
    await connection.executemany(
        "INSERT INTO consumer_offsets VALUES ($1, $2, $3, $4, $5, clock_timestamp()) ON CONFLICT (topic, partition)"
        " DO UPDATE SET next_offset = $3, stored_until = $4, worker = $5, updated_at = clock_timestamp()",
        [(topic, partition, next_offset, until, worker) for partition, until in stored_until.items()],
    )


async def make_day(connection: asyncpg.Connection[asyncpg.Record], day: datetime, *, closed: bool) -> None:
    """The partition of a day; a closed one has its index by source."""
    name = f"logs_{day:%Y%m%d}"
    bounds = f"FROM ('{day:%Y-%m-%d} 00:00Z') TO ('{day + timedelta(days=1):%Y-%m-%d} 00:00Z')"
    await connection.execute(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF logs FOR VALUES {bounds}")
    if closed:
        await connection.execute(f"CREATE INDEX IF NOT EXISTS {name}_source_ts ON {name} (source, ts)")


def random_events(rng: random.Random, number: int, start: datetime, end: datetime) -> list[LoggedEvent]:
    """Events of few sources in bursts, many at the same moment, so that edges and ties are met."""
    events: list[LoggedEvent] = []
    while len(events) < number:
        burst = start + (end - start) * rng.random()
        burst = burst.replace(microsecond=burst.microsecond // 1000 * 1000)
        source = f"source-{min(int(rng.expovariate(0.7)), 9)}"
        for _ in range(min(rng.randrange(1, 40), number - len(events))):
            ts = burst + timedelta(milliseconds=rng.choice([0, 0, 0, 1, 999, 60_000]))
            events.append(_event(rng, ts, source))
    return events


def _event(rng: random.Random, ts: datetime, source: str) -> LoggedEvent:
    attributes: Any = msgspec.Raw(b'{"n":  %d}' % rng.randrange(100)) if rng.random() < 0.3 else msgspec.UNSET
    return LoggedEvent(
        UUID(
            int=(max(unix_us(ts), 0) // 1000 << 80)
            | 8 << 76
            | rng.getrandbits(12) << 64
            | 2 << 62
            | rng.getrandbits(62)
        ),
        ts,
        rng.choices(SEVERITIES, [50, 20, 15, 10, 5])[0],
        source,
        f"message {rng.randrange(1000)}",
        ts + timedelta(milliseconds=80),
        attributes,
    )
