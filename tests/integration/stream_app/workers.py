"""A real worker process, a producer straight to its topic, and looks at what became of the records."""

from __future__ import annotations

import asyncio
import random
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from redis.asyncio import Redis

from ingest_gateway.contract import SEVERITIES
from tests.fakes.kafka_records import event_json
from tests.processes import Spawned, Spawner, eventually, http_json, http_status
from tests.servers import Stack
from threatlog.embedded.ports import free_port

READY_S = 40.0
STORED_S = 30.0

Found = TypeVar("Found")


class Worker:
    """`python -m stream_app`, with its status port."""

    def __init__(self, start: Spawner, stack: Stack, **variables: str) -> None:
        self.port = free_port(random.Random())
        environment = stack.with_environment(**{"THREATLOG_STREAM_METRICS_PORT": str(self.port), **variables})
        self.process: Spawned = start("stream", ["-m", "stream_app"], environment)

    @property
    def child(self) -> Any:
        """The process."""
        return self.process.child

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def ready(self) -> Worker:
        """Waits for /readyz; fails with the log when the process ends instead."""

        async def is_ready() -> bool:
            assert self.child.running, f"ended with {self.child.exit_code}:\n{self.child.log_tail(60)}"
            return await asyncio.to_thread(http_status, self.url("/readyz")) == 200

        await eventually(is_ready, "the worker is ready", READY_S)
        return self

    async def metric(self, name: str) -> float:
        """The sum of one metric over its labels."""
        return sum_of(await asyncio.to_thread(fetch_text, self.url("/metrics")), name)

    async def health(self) -> tuple[int, Any]:
        return await asyncio.to_thread(http_json, self.url("/readyz"))

    async def exit_code(self, timeout_s: float) -> int:
        return await asyncio.to_thread(self.process.wait_exit, timeout_s)


def fetch_text(url: str) -> str:
    """The body of a GET."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        content: bytes = answer.read()
    return content.decode()


def sum_of(exposition: str, name: str) -> float:
    """The sum of a metric over its labels, in Prometheus' text format."""
    lines = [line for line in exposition.splitlines() if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Topic:
    """The topic of a stack: what is written straight to it, and what an operator may do to it."""

    def __init__(self, stack: Stack) -> None:
        self._servers = stack.settings.kafka.bootstrap_servers
        self.name = stack.settings.kafka.topic

    async def produce(
        self, values: Sequence[bytes | None], partition: int = 0, key: bytes | None = None, **options: Any
    ) -> list[int]:
        """Appends records; their offsets."""
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, acks="all", **options)
        await producer.start()
        try:
            sent = [await producer.send(self.name, value, key=key, partition=partition) for value in values]
            return [(await result).offset for result in sent]
        finally:
            await producer.stop()

    async def produce_events(self, count: int, partition: int = 0, **fields: object) -> list[int]:
        """Appends `count` valid events."""
        return await self.produce([event_json(message=f"{partition}-{n}", **fields) for n in range(count)], partition)

    async def on_admin(self, do: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
        """Does one thing as an operator."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        try:
            return await do(admin)
        finally:
            await admin.close()

    async def delete_before(self, offset: int, partition: int = 0) -> None:
        """As retention does."""
        await self.on_admin(
            lambda admin: admin.delete_records({TopicPartition(self.name, partition): RecordsToDelete(offset)})
        )

    async def commit(self, group: str, offset: int, partition: int = 0) -> None:
        """Moves a group that has no members."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            tp = TopicPartition(self.name, partition)
            consumer.assign([tp])
            await consumer.commit({tp: offset})
        finally:
            await consumer.stop()

    async def timestamps(self, partition: int) -> list[int]:
        """The append time of every record, in milliseconds, by offset."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            tp = TopicPartition(self.name, partition)
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            found: list[int] = []
            while len(found) < end:
                found += [record.timestamp for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])]
            return found
        finally:
            await consumer.stop()


class Tables:
    """A look into PostgreSQL that survives its restarts."""

    def __init__(self, stack: Stack) -> None:
        self._dsn = stack.postgres_dsn

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def value(self, statement: str, *arguments: Any) -> Any:
        return (await self.fetch(statement, *arguments))[0][0]

    async def messages(self) -> list[str]:
        return [row["message"] for row in await self.fetch("SELECT message FROM logs ORDER BY message")]

    async def count(self) -> int:
        found: int = await self.value("SELECT count(*) FROM logs")
        return found

    async def wait_count(self, expected: int, timeout_s: float = STORED_S) -> None:
        """Waits for exactly so many rows; more is a failure at once."""

        async def reached() -> bool:
            found = await self.count()
            assert found <= expected, f"{found} rows where {expected} were sent"
            return found == expected

        await eventually(reached, f"{expected} rows", timeout_s)

    async def offsets(self) -> dict[int, int]:
        return {r["partition"]: r["next_offset"] for r in await self.fetch("SELECT * FROM consumer_offsets")}

    async def assert_rollups_equal_rows(self) -> None:
        """Minute, hour and total say what SELECT count says."""
        by_unit = {"minute": "log_rollup_minute", "hour": "log_rollup_hour"}
        for unit, table in by_unit.items():
            both = (
                f"SELECT bucket, severity, source, n FROM {table}",
                f"SELECT date_trunc('{unit}', ts), severity, source, count(*) FROM logs GROUP BY 1, 2, 3",
            )
            for left, right in (both, both[::-1]):
                assert await self.fetch(f"{left} EXCEPT {right}") == []
        both = (
            "SELECT severity, source, n FROM log_rollup_total",
            "SELECT severity, source, count(*) FROM logs GROUP BY 1, 2",
        )
        for left, right in (both, both[::-1]):
            assert await self.fetch(f"{left} EXCEPT {right}") == []
        await self._assert_counts_equal_rollups()

    async def _assert_counts_equal_rollups(self) -> None:
        """The counts of all sources are the sums over sources."""
        for unit in ("minute", "hour"):
            both = (
                f"SELECT bucket, severity, n FROM log_count_{unit}",
                f"SELECT bucket, severity, sum(n) FROM log_rollup_{unit} GROUP BY 1, 2",
            )
            for left, right in (both, both[::-1]):
                assert await self.fetch(f"{left} EXCEPT {right}") == []


class RedisKeysOf:
    """A look into Redis."""

    def __init__(self, stack: Stack) -> None:
        self._url, self._prefix = stack.redis_url, stack.settings.redis.key_prefix

    async def ask(self, question: Callable[[Any], Awaitable[Found]]) -> Found:
        """The answer to one question to a client."""
        client = Redis.from_url(self._url)
        try:
            return await question(client)
        finally:
            await client.aclose()

    async def counts(self, name: str) -> dict[str, int]:
        """One set of counters."""
        found = await self.ask(lambda client: client.zrange(f"{self._prefix}counts:{name}", 0, -1, withscores=True))
        return {member.decode(): int(count) for member, count in found}

    async def recent(self) -> list[str]:
        """The ids in the list of recent events, newest first."""
        found = await self.ask(lambda client: client.zrevrange(f"{self._prefix}recent:all", 0, -1))
        return [orjson.loads(member)["id"] for member in found]

    async def equals(self, tables: Tables) -> bool:
        """Whether counters and recent events are those of the tables."""
        found = await tables.fetch("SELECT severity, source, count(*) AS n FROM logs GROUP BY 1, 2")
        if await self.counts("total") != {f"{SEVERITIES[r['severity']]}|{r['source']}": r["n"] for r in found}:
            return False
        minutes: dict[int, dict[str, int]] = {}
        for row in await tables.fetch(
            "SELECT extract(epoch FROM date_trunc('minute', ts))::bigint / 60 AS minute, severity, source,"
            " count(*) AS n FROM logs WHERE ts BETWEEN now() - interval '20 hours' AND now() + interval '20 hours'"
            " GROUP BY 1, 2, 3"
        ):
            minutes.setdefault(row["minute"], {})[f"{SEVERITIES[row['severity']]}|{row['source']}"] = row["n"]
        for minute, counts in minutes.items():
            if await self.counts(f"minute:{minute}") != counts:
                return False
        return await self._recent_equals(tables)

    async def _recent_equals(self, tables: Tables) -> bool:
        newest = await tables.fetch(
            "SELECT id::text, ts FROM logs WHERE ts < now() + interval '10 min' ORDER BY ts DESC LIMIT 1001"
        )
        recent = await self.recent()
        # Of several at the oldest moment that is kept, any may stand in the list.
        certain = {row["id"] for row in newest[:1000] if len(newest) <= 1000 or row["ts"] > newest[-1]["ts"]}
        return len(recent) == min(len(newest), 1000) and certain <= set(recent)
