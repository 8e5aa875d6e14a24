"""The store in memory and PostgreSQL, each with a look at what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ingest_gateway.contract import unix_us
from stream_app.outcomes import Loss, Stored, Window
from stream_app.postgres_store import PostgresStore
from stream_app.prepare import Cell
from tests.fakes.kafka_records import NOON_MS, TOPIC, FakeRecord, chunk, record, window
from tests.fakes.memory_store import MemoryStore
from tests.servers import Stack

IDENTIFIER = "019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50"
MINUTE = NOON_MS // 60_000
POISON = b"poi\0oned"


class StoreUnderTest(Protocol):
    """A store, and a look at what it holds."""

    async def positions(self, beginnings: Mapping[int, int]) -> Mapping[int, int]: ...
    async def write(self, window: Window) -> Stored: ...
    async def rows(self) -> list[tuple[int, int, str, str, bytes | None, int]]:
        """(ts_us, severity, source, message, attributes, received_us), by time."""
        ...

    async def offsets(self) -> dict[int, int]: ...
    async def letters(self) -> list[tuple[int, int, str, bytes | None, bytes | None]]:
        """(partition, offset, reason, key, payload)"""
        ...

    async def losses(self) -> list[Loss]: ...
    async def minutes(self) -> dict[Cell, int]: ...
    async def totals(self) -> dict[tuple[int, str], int]: ...


class MemoryUnderTest(MemoryStore):
    """The store in memory."""

    async def rows(self) -> list[tuple[int, int, str, str, bytes | None, int]]:
        return [
            (
                row.ts_us,
                row.severity,
                row.event.source,
                row.event.message,
                bytes(row.event.attributes) or None,
                row.received_us,
            )
            for _, row in sorted(self.logs.items())
        ]

    # The tables' names for what the fields of MemoryStore hold.
    async def letters(self) -> list[tuple[int, int, str, bytes | None, bytes | None]]:
        return sorted((d.partition, d.offset, d.reason, d.key, d.payload) for d in self.dead_letters.values())

    async def losses(self) -> list[Loss]:
        return self.gaps


class MemoryAdapter:
    """Gives the memory's fields as the suite asks for them."""

    def __init__(self) -> None:
        self._store = MemoryUnderTest(refuses=lambda row: POISON in row.copy_bytes)
        self.positions, self.write = self._store.positions, self._store.write
        self.rows, self.letters, self.losses = self._store.rows, self._store.letters, self._store.losses

    async def offsets(self) -> dict[int, int]:
        return self._store.offsets

    async def minutes(self) -> dict[Cell, int]:
        return dict(self._store.minutes)

    async def totals(self) -> dict[tuple[int, str], int]:
        return dict(self._store.totals)


class PostgresAdapter:
    """PostgreSQL, with the rights of who stores."""

    def __init__(self, stack: Stack) -> None:
        self.store = PostgresStore(stack.postgres_of("stream"), TOPIC, "worker-1")
        self.positions, self.write = self.store.positions, self.store.write

    async def rows(self) -> list[tuple[int, int, str, str, bytes | None, int]]:
        return [
            (
                unix_us(row["ts"]),
                row["severity"],
                row["source"],
                row["message"],
                row["attributes"].encode() if row["attributes"] is not None else None,
                unix_us(row["received_at"]),
            )
            for row in await self.store.fetch("SELECT * FROM logs ORDER BY ts, id")
        ]

    async def offsets(self) -> dict[int, int]:
        return {r["partition"]: r["next_offset"] for r in await self.store.fetch("SELECT * FROM consumer_offsets")}

    async def letters(self) -> list[tuple[int, int, str, bytes | None, bytes | None]]:
        return [
            (r["partition"], r["offset"], r["reason"], r["key"], r["payload"])
            for r in await self.store.fetch('SELECT * FROM dead_letters ORDER BY partition, "offset"')
        ]

    async def losses(self) -> list[Loss]:
        found = await self.store.fetch("SELECT * FROM offset_gaps ORDER BY partition, from_offset")
        return [Loss(r["partition"], r["from_offset"], r["to_offset"]) for r in found]

    async def minutes(self) -> dict[Cell, int]:
        return {
            Cell(unix_us(r["bucket"]) // 60_000_000, r["severity"], r["source"]): r["n"]
            for r in await self.store.fetch("SELECT * FROM log_rollup_minute")
        }

    async def totals(self) -> dict[tuple[int, str], int]:
        return {(r["severity"], r["source"]): r["n"] for r in await self.store.fetch("SELECT * FROM log_rollup_total")}


async def write(
    store: StoreUnderTest, *records: FakeRecord, partition: int = 0, losses: tuple[Loss, ...] = ()
) -> Stored:
    """Stores one chunk of records, whatever is stored before its first offset."""
    start = (await store.positions({partition: records[0].offset}))[partition]
    return await store.write(
        window([chunk(partition, records, position=min(start, records[0].offset))], {partition: start}, losses)
    )


def client_event(offset: int, message: str, second: int = 0) -> FakeRecord:
    return record(offset, id=IDENTIFIER, timestamp=f"2026-11-24T10:00:{second:02}Z", message=message)
