"""Fills an empty, migrated database with ten million events as the stream application would have stored them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from stream_app.filter_building import FilterBuilding

# A little more than seven days, so that ranges of seven days can differ.
SPAN: Final = timedelta(days=7, hours=2)
SOURCES: Final = 200
# What a single quiet device sends.
QUIET_SOURCE: Final = "door-sensor-7.example.net"
QUIET_EVENTS: Final = 150
# Events of each day with a word that no others have, each with an address of 192.0.2.0/24 that no other of the day has.
RARE_EVENTS_A_DAY: Final = 20

# 200 sources, of which the first sends a tenth and the last a thousandth; INFO 60 % to CRITICAL 2 %.
_INSERT_DAY: Final = """
INSERT INTO {table} (id, ts, severity, source, message, attributes, received_at)
SELECT (lpad(to_hex(floor(extract(epoch FROM ts) * 1000)::bigint), 12, '0') || '8' || substr(h, 1, 3) || '8'
        || substr(h, 4, 15))::uuid,
       ts,
       CASE WHEN s < 0.60 THEN 0 WHEN s < 0.80 THEN 1 WHEN s < 0.92 THEN 2 WHEN s < 0.98 THEN 3 ELSE 4 END,
       'host-' || lpad((200 * power(o, 1.6))::int::text, 3, '0') || '.example.net',
       CASE WHEN n % $4::bigint = $4 / 2
                 THEN 'Quarantined setup.exe fetched by 192.0.2.' || n / $4 % 250 || ' session ' || h
            WHEN s < 0.5 THEN 'Accepted publickey for deploy from 203.0.113.' || n % 250 || ' port ' || n % 60000
                 || ' ssh2: ED25519 SHA256:' || h
            ELSE 'Failed password for invalid user admin from 198.51.100.' || n % 250 || ' port ' || n % 60000
                 || ' ssh2 session ' || h END,
       CASE WHEN n % 4 = 0 THEN ('{{"user":"deploy","session":"' || h || '"}}')::json END,
       ts + interval '80 ms'
FROM (SELECT n, $1::timestamptz + ($2::timestamptz - $1::timestamptz) * ((n + random()) / $3::float8) AS ts,
             md5(n::text || $1::text) AS h, random() AS s, random() AS o
      FROM generate_series(0, $3::bigint - 1) AS n) AS made
"""
_QUIET: Final = """
INSERT INTO logs (id, ts, severity, source, message, received_at)
SELECT (lpad(to_hex(floor(extract(epoch FROM ts) * 1000)::bigint), 12, '0') || '8abc8'
        || substr(md5(ts::text), 1, 15))::uuid,
       ts, 2, $3, 'door opened', ts
FROM (SELECT $1::timestamptz + ($2::timestamptz - $1::timestamptz) * random() AS ts
      FROM generate_series(1, $4::bigint)) AS made
"""
_ROLLUPS: Final = (
    "INSERT INTO log_rollup_minute SELECT date_trunc('minute', ts), severity, source, count(*) FROM logs"
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "INSERT INTO log_rollup_hour SELECT date_trunc('hour', bucket), severity, source, sum(n) FROM log_rollup_minute"
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "INSERT INTO log_rollup_total SELECT severity, source, sum(n) FROM log_rollup_hour GROUP BY 1, 2",
    "INSERT INTO log_count_minute SELECT bucket, severity, sum(n) FROM log_rollup_minute GROUP BY 1, 2 ORDER BY 1, 2",
    "INSERT INTO log_count_hour SELECT bucket, severity, sum(n) FROM log_rollup_hour GROUP BY 1, 2 ORDER BY 1, 2",
)


@dataclass(frozen=True, slots=True)
class _Session:
    """Lends the connection that fills the tables."""

    connection: asyncpg.Connection[asyncpg.Record]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        yield self.connection


async def fill(dsn: str, topic: str, partitions: int, events: int, end: datetime) -> float:
    """Stores `events` events that happened in the SPAN before `end`; returns the seconds it took."""
    started = time.perf_counter()
    connection = await asyncpg.connect(dsn, command_timeout=1800)
    try:
        await connection.execute("SELECT setseed(0.5)")
        start = end - SPAN
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        tables = []
        while day < end:
            tables.append(await _fill_day(connection, day, max(day, start), min(day + timedelta(days=1), end), events))
            day += timedelta(days=1)
        await connection.execute(_QUIET, start, end, QUIET_SOURCE, QUIET_EVENTS)
        for statement in _ROLLUPS:
            await connection.execute(statement)
        for table in tables[:-1]:
            # As the stream application does for every day that is over.
            await connection.execute(f"CREATE INDEX {table}_source_ts ON {table} (source, ts)")
        building = FilterBuilding(_Session(connection), lambda: end + timedelta(hours=3))
        while await building.build(24):
            pass
        await connection.executemany(
            "INSERT INTO consumer_offsets VALUES ($1, $2, 0, $3, 'stream-bench-1')",
            [(topic, partition, end) for partition in range(partitions)],
        )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return time.perf_counter() - started


async def _fill_day(
    connection: asyncpg.Connection[asyncpg.Record], day: datetime, start: datetime, end: datetime, events: int
) -> str:
    table = f"logs_{day:%Y%m%d}"
    bounds = f"FROM ('{day:%Y-%m-%d} 00:00Z') TO ('{day + timedelta(days=1):%Y-%m-%d} 00:00Z')"
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        await connection.execute(f"CREATE TABLE {table} PARTITION OF logs FOR VALUES {bounds}")
    share = round(events * ((end - start) / SPAN))
    every = max(share // RARE_EVENTS_A_DAY, 1)
    await connection.execute(_INSERT_DAY.format(table=table), start, end, share, every)
    return table


def newest_end() -> datetime:
    """The moment the data ends: now, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def fill_now(dsn: str, topic: str, partitions: int, events: int, end: datetime) -> float:
    """The same, waited for."""
    return asyncio.run(fill(dsn, topic, partitions, events, end))
