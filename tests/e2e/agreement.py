"""Holds the tables to the ledger, the rollups to the table, and Redis to both."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import redis.asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest_gateway.contract import SEVERITIES
from stream_app.contract import (
    MAX_RECENT_AHEAD_S,
    MINUTE_COUNTS_AHEAD_S,
    MINUTE_COUNTS_KEPT_S,
    RECENT_EVENTS,
    RedisKeys,
    count_member,
)
from tests.e2e.ledger import Ledger, StoredRow
from tests.servers import Stack

_POLL_INTERVAL_S = 0.2

_OFFSETS = "SELECT partition, next_offset FROM consumer_offsets WHERE topic = $1"
# What a rollup says and the rows do not, and the other way round; no rows when they agree.
_ROLLUP_DIFFERENCES = """
WITH counted AS (
    SELECT {cell} AS bucket, severity, {source} AS source, count(*) AS n FROM logs GROUP BY 1, 2, 3
), kept AS (SELECT {bucket} AS bucket, severity, {source} AS source, n FROM {table})
(SELECT 'only in {table}' AS side, * FROM (SELECT * FROM kept EXCEPT ALL SELECT * FROM counted) a)
UNION ALL (SELECT 'only in logs', * FROM (SELECT * FROM counted EXCEPT ALL SELECT * FROM kept) b) LIMIT 5"""
_ROLLUPS = (
    ("log_rollup_minute", "date_trunc('minute', ts)", "bucket", "source"),
    ("log_rollup_hour", "date_trunc('hour', ts)", "bucket", "source"),
    ("log_rollup_total", "0", "0", "source"),
    ("log_count_minute", "date_trunc('minute', ts)", "bucket", "''"),
    ("log_count_hour", "date_trunc('hour', ts)", "bucket", "''"),
)
_MINUTES = """
SELECT extract(epoch FROM date_trunc('minute', ts))::bigint / 60 AS minute, severity, source, count(*) AS n
FROM logs WHERE date_trunc('minute', ts) BETWEEN to_timestamp($1) AND to_timestamp($2) GROUP BY 1, 2, 3"""
_NEWEST = """
SELECT id, ts FROM logs WHERE ts <= to_timestamp($1) AND ($2::smallint IS NULL OR severity = $2)
ORDER BY ts DESC LIMIT $3"""


async def eventually(question: Callable[[], Awaitable[str]], timeout_s: float, what: str) -> None:
    """Asks until the answer is empty; fails with the last answer after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while answer := await question():
        assert time.monotonic() < deadline, f"after {timeout_s:g} s still not: {what}: {answer}"
        await asyncio.sleep(_POLL_INTERVAL_S)


async def rollup_differences(postgres: Any, *, totals: bool = True) -> list[Any]:
    """Where the counts are not those of the rows; without `totals` those over all time are left out."""
    found = []
    for table, cell, bucket, source in _ROLLUPS:
        if totals or table != "log_rollup_total":
            text = _ROLLUP_DIFFERENCES.format(table=table, cell=cell, bucket=bucket, source=source)
            found += [tuple(row) for row in await postgres.fetch(text)]
    return found


class Agreement:
    """Reads what a stack holds at the end of a run. Use it as an async context manager."""

    def __init__(self, stack: Stack, ledger: Ledger) -> None:
        self._stack = stack
        self._ledger = ledger
        self._keys = RedisKeys(stack.settings.redis.key_prefix)
        self._dropped = 0

    async def __aenter__(self) -> Agreement:
        self._postgres = await asyncpg.connect(self._stack.postgres_dsn)
        self._redis: Any = redis.asyncio.from_url(self._stack.redis_url, decode_responses=True)
        self._kafka = AIOKafkaConsumer(bootstrap_servers=self._stack.settings.kafka.bootstrap_servers)
        await self._kafka.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kafka.stop()
        await self._redis.aclose()
        await self._postgres.close()

    async def assert_clean(self, timeout_s: float = 60.0) -> None:
        """Waits until everything in Kafka is stored, then holds everything to everything."""
        await eventually(self._lag, timeout_s, "everything in Kafka is stored")
        findings = self._ledger.compare(await self._rows())
        assert not findings, f"{findings} ({self._ledger.summary()})"
        dead = self._ledger.compare_bad(await self._dead_letters())
        assert not dead, f"dead letters: {dead}"
        assert await self._postgres.fetchval("SELECT count(*) FROM offset_gaps") == 0
        # Retention lowers every count but those over all time.
        self._dropped = await self._postgres.fetchval("SELECT count(*) FROM retention_drops")
        assert await rollup_differences(self._postgres, totals=not self._dropped) == []
        await eventually(self._redis_differences, 15.0, "Redis agrees with the table")

    async def _lag(self) -> str:
        topic = self._stack.settings.kafka.topic
        partitions = [TopicPartition(topic, n) for n in range(self._stack.settings.kafka.partitions)]
        ends = {tp.partition: end for tp, end in (await self._kafka.end_offsets(partitions)).items() if end}
        found = await self._postgres.fetch(
            "SELECT partition, next_offset FROM consumer_offsets WHERE topic = $1", topic
        )
        stored = {row["partition"]: row["next_offset"] for row in found}
        behind = {p: f"{stored.get(p)} of {end}" for p, end in ends.items() if stored.get(p) != end}
        return str(behind) if behind else ""

    async def _rows(self) -> list[StoredRow]:
        found = await self._postgres.fetch("SELECT id, ts, severity, source, message, attributes FROM logs")
        return [
            StoredRow(r["id"], r["ts"], SEVERITIES[r["severity"]], r["source"], r["message"], r["attributes"])
            for r in found
        ]

    async def _dead_letters(self) -> dict[bytes, int]:
        found = await self._postgres.fetch("SELECT payload, count(*) AS n FROM dead_letters GROUP BY 1")
        return {row["payload"]: row["n"] for row in found}

    async def _redis_differences(self) -> str:
        try:
            for question in ([] if self._dropped else [self._totals]) + [self._minutes, self._recents]:
                if answer := await question():
                    return answer
        except redis.exceptions.ResponseError as error:
            return str(error)
        return ""

    async def _totals(self) -> str:
        found = await self._postgres.fetch("SELECT severity, source, count(*) AS n FROM logs GROUP BY 1, 2")
        expected = {count_member(SEVERITIES[r["severity"]], r["source"]): r["n"] for r in found}
        return _difference("totals", expected, await self._scores(self._keys.total_counts))

    async def _minutes(self) -> str:
        """Minutes near the edges of what is kept may be there or not; an hour inside they must."""
        oldest_s = time.time() - MINUTE_COUNTS_KEPT_S + 3600
        newest_s = time.time() + MINUTE_COUNTS_AHEAD_S - 3600
        minutes: dict[int, dict[str, int]] = {}
        for r in await self._postgres.fetch(_MINUTES, oldest_s, newest_s):
            counts = minutes.setdefault(r["minute"], {})
            counts[count_member(SEVERITIES[r["severity"]], r["source"])] = r["n"]
        for minute, expected in minutes.items():
            key = self._keys.minute_counts(minute)
            if answer := _difference(key, expected, await self._scores(key)):
                return answer
        return ""

    async def _recents(self) -> str:
        for severity in (None, *range(len(SEVERITIES))):
            key = self._keys.recent if severity is None else self._keys.recent_of(severity)
            if answer := await self._recent_difference(key, severity):
                return answer
        return ""

    async def _recent_difference(self, key: str, severity: int | None) -> str:
        members = [json.loads(member) for member in await self._redis.zrange(key, 0, -1)]
        listed = [member["id"] for member in members]
        if len(set(listed)) != len(listed):
            twice = next(identifier for identifier in listed if listed.count(identifier) > 1)
            return f"{key} lists an event twice: {[member for member in members if member['id'] == twice]}"
        newest = await self._postgres.fetch(
            _NEWEST, time.time() + MAX_RECENT_AHEAD_S, severity, RECENT_EVENTS + len(listed)
        )
        due = newest[:RECENT_EVENTS]
        # Of events with the very time of the oldest one due, any may be left out.
        certain = {str(row["id"]) for row in due if row["ts"] > due[-1]["ts"] or len(newest) < RECENT_EVENTS}
        allowed = {str(row["id"]) for row in newest if row["ts"] >= due[-1]["ts"]}
        missing, strange = certain - set(listed), set(listed) - allowed
        if missing or strange or len(listed) != len(due):
            return f"{key}: {len(listed)} of {len(due)}, {len(missing)} missing, {len(strange)} not among the newest"
        return ""

    async def _scores(self, key: str) -> dict[str, int]:
        return {member: int(score) for member, score in await self._redis.zrange(key, 0, -1, withscores=True)}


def _difference(name: str, expected: dict[str, int], found: dict[str, int]) -> str:
    if expected == found:
        return ""
    cells = [c for c in expected.keys() | found.keys() if expected.get(c) != found.get(c)]
    shown = {cell: (expected.get(cell), found.get(cell)) for cell in cells[:3]}
    return f"{name}: {len(cells)} cells differ, such as (table, Redis) {shown}"
