"""The three ways in that bad input is sent by, on running processes, and looks at what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.agreement import eventually
from tests.e2e.fleet import Fleet
from tests.processes import Spawner
from tests.servers import Stack

# The matrix asks for 5 s; the rest is for a machine that does other things.
STORED_WITHIN_S = 20.0
ROW = "SELECT ts, received_at, message, attributes::text AS attributes FROM logs WHERE source = $1"


@dataclass(frozen=True, slots=True)
class Ways:
    """The three ways in, and looks at what became of it."""

    stack: Stack
    fleet: Fleet
    session: aiohttp.ClientSession
    postgres: Any

    async def single(self, body: bytes) -> tuple[int, Any]:
        """As one request."""
        return await self._post("/api/v1/logs/ingest", body, "application/json")

    async def lines(self, *lines: bytes) -> tuple[int, Any]:
        """As one request of one event a line."""
        return await self._post("/api/v1/logs/ingest/batch", b"\n".join(lines), "application/x-ndjson")

    async def _post(self, path: str, body: bytes, kind: str) -> tuple[int, Any]:
        headers = {"Content-Type": kind}
        async with self.session.post(self.fleet.gateway_url + path, data=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ask(self, source: str) -> list[Any]:
        """The events of a source, as the query API gives them."""
        times = "start_time=1800-01-01T00:00:00Z&end_time=9999-12-30T00:00:00Z"
        url = f"{self.fleet.query_url}/api/v1/logs/query?{times}&source={quote(source)}"
        async with self.session.get(url) as answer:
            assert answer.status == 200, await answer.text()
            found: list[Any] = (await answer.json())["logs"]
        return found

    def missing(self, source: str, count: int) -> Callable[[], Awaitable[str]]:
        """Whether fewer events of a source are stored."""

        async def question() -> str:
            found = len(await self.postgres.fetch(ROW, source))
            return "" if found == count else f"{found} of {count}"

        return question

    async def settled(self) -> None:
        """Returns when everything in Kafka is stored."""
        kafka = self.stack.settings.kafka
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
        await consumer.start()
        partitions = [TopicPartition(kafka.topic, n) for n in range(kafka.partitions)]
        ends = {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}
        await consumer.stop()

        async def behind() -> str:
            rows = await self.postgres.fetch("SELECT partition, next_offset FROM consumer_offsets")
            stored = {row["partition"]: row["next_offset"] for row in rows}
            return str({n: (stored.get(n), end) for n, end in ends.items() if end and stored.get(n) != end} or "")

        await eventually(behind, STORED_WITHIN_S, "no partition stands still")

    def assert_sound(self) -> None:
        """Every process runs, and its log is one JSON object a line."""
        self.fleet.assert_alive()
        for part in self.fleet.parts:
            for line in part.process.log_text().splitlines():
                assert isinstance(json.loads(line), dict), f"{part.name}: {line}"


@asynccontextmanager
async def ways(stack: Stack, spawn: Spawner) -> AsyncIterator[Ways]:
    """Running processes; at the end they still run, and their logs are sound."""
    fleet = Fleet(stack, spawn, workers=1, queries=1)
    await asyncio.to_thread(fleet.wait_ready)
    postgres = await asyncpg.connect(stack.postgres_dsn)
    async with aiohttp.ClientSession() as session:
        found = Ways(stack, fleet, session, postgres)
        yield found
        found.assert_sound()
    await postgres.close()
