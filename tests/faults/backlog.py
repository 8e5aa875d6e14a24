"""A backlog of any size in Kafka that can be checked in PostgreSQL: ids are numbers, and messages follow from ids."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from loadgen.kafka_sender import KafkaSender
from loadgen.outcome import Fate
from tests.e2e.agreement import eventually
from tests.e2e.load import compact
from tests.servers import Stack

_CHUNK_EVENTS = 5_000
_PRODUCE_TIMEOUT_S = 30.0
_FIRST_ID = UUID("00000000-0000-4000-8000-000000000000")
_STORED = """
SELECT count(*) AS rows, count(DISTINCT id) AS ids, min(id::text) AS first, max(id::text) AS last,
    count(*) FILTER (WHERE message <> repeat(md5(id::text), $1)) AS different
FROM logs WHERE source = 'backlog'"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """So many events; the message of each is the MD5 of its id in hexadecimal digits, `repeated` times."""

    events: int
    repeated: int = 4

    async def produce(self, stack: Stack) -> None:
        """To every partition in turn; each has an id, so that a repeated send adds nothing."""
        sender = KafkaSender(stack.settings.kafka.bootstrap_servers, stack.settings.kafka.topic, _PRODUCE_TIMEOUT_S)
        await sender.open()
        try:
            for values in self._chunks(datetime.now(UTC).isoformat()):
                attempt = await sender.attempt(values)
                while attempt.fate is not Fate.ACKED:
                    assert attempt.retry, attempt
                    await asyncio.sleep(0.5)
                    attempt = await sender.attempt(values)
        finally:
            await sender.close()

    def _chunks(self, timestamp: str) -> Iterator[list[bytes]]:
        for begin in range(0, self.events, _CHUNK_EVENTS):
            yield [self._value(n, timestamp) for n in range(begin, min(begin + _CHUNK_EVENTS, self.events))]

    def _value(self, number: int, timestamp: str) -> bytes:
        identifier = str(UUID(int=_FIRST_ID.int + number))
        message = hashlib.md5(identifier.encode(), usedforsecurity=False).hexdigest() * self.repeated
        body = {"id": identifier, "timestamp": timestamp, "severity": "LOW", "source": "backlog", "message": message}
        return compact(body).encode()

    async def assert_stored(self, stack: Stack, timeout_s: float) -> None:
        """Waits until as many are stored, then holds that it is each of them once, as it was sent, and no other."""
        connection = await asyncpg.connect(stack.postgres_dsn, timeout=10)

        async def missing() -> str:
            rows = await connection.fetchval("SELECT count(*) FROM logs WHERE source = 'backlog'")
            return f"{rows} of {self.events}" if rows < self.events else ""

        try:
            await eventually(missing, timeout_s, "the backlog is stored")
            found = await connection.fetchrow(_STORED, self.repeated)
            assert found is not None
            last = UUID(int=_FIRST_ID.int + self.events - 1)
            assert tuple(found) == (self.events, self.events, str(_FIRST_ID), str(last), 0)
            assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 0
        finally:
            await connection.close()
