"""Holds what is stored to the account of a run: Vector's and Kafka's set arithmetic, and Jepsen's order.

Sources: vector `tests/antithesis/README.md` (an acknowledged id is an obligation), Kafka
`tests/kafkatest/tests/produce_consume_validate.py` (missing = acknowledged - found), Jepsen `kafka.clj` (order by key).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from loadgen.oracle_events import content_hash, source_of
from loadgen.oracle_file import OracleFile
from loadgen.query_client import LogReader, StoredEvent, TimeRange

_PAGE: Final = 1000
_NAMED: Final = 5
_GOOD = "state = 3 AND NOT bad"
_BAD = "state = 3 AND bad AND kind = 'direct'"
# Name of each check, and a query of the ids that break it.
_CHECKS: Final = {
    "acknowledged is in the table": f"SELECT id FROM events WHERE {_GOOD} AND id NOT IN (SELECT id FROM stored)",
    "the table is within issued": "SELECT id FROM stored WHERE id NOT IN (SELECT id FROM events)",
    "refused is not in the table": "SELECT id FROM events WHERE state = 1 AND id IN (SELECT id FROM stored)",
    "nothing is in the table twice": "SELECT id FROM stored GROUP BY id HAVING count(*) > 1",
    "content is what was sent": "SELECT id FROM stored JOIN events USING (id) WHERE stored.hash <> events.hash",
    "bad records are dead letters": f"SELECT id FROM events WHERE {_BAD} AND id NOT IN (SELECT id FROM dead)",
    "no good event is a dead letter": "SELECT id FROM dead JOIN events USING (id) WHERE NOT bad",
    "nothing is a dead letter twice": "SELECT id FROM dead WHERE n > 1",
}
_API_CHECKS: Final = {
    "acknowledged is in the API": f"SELECT id FROM events WHERE {_GOOD} AND id NOT IN (SELECT id FROM listed)",
    "the API is within issued": "SELECT id FROM listed WHERE id NOT IN (SELECT id FROM events)",
    "nothing is in the API twice": "SELECT id FROM listed GROUP BY id HAVING count(*) > 1",
    "content in the API is what was sent": (
        "SELECT id FROM listed JOIN events USING (id) WHERE listed.hash <> events.hash"
    ),
}
_AGREEMENT: Final = {
    "API and table agree": (
        "SELECT id FROM (SELECT id, hash FROM stored EXCEPT SELECT id, hash FROM listed) "
        "UNION SELECT id FROM (SELECT id, hash FROM listed EXCEPT SELECT id, hash FROM stored)"
    )
}
_ORDER: Final = {
    "order per producer is kept": """
        SELECT id FROM (
            SELECT id, sequence, max(sequence) OVER (
                PARTITION BY producer, partition ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before
            FROM events WHERE partition IS NOT NULL
        ) WHERE before > sequence"""
}


class Rows(Protocol):
    """The table and the dead letters."""

    def stored(self, first_ms: int, last_ms: int, prefix: str) -> AsyncIterator[tuple[str, bytes]]: ...
    def dead(self, first_ms: int) -> AsyncIterator[tuple[bytes, int]]: ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check; `broken` counts the events that break it, None where it could not be made."""

    name: str
    broken: int | None
    first_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class OracleCheck:
    """Reads what is stored into the run's file and compares there, so that memory does not grow with the run."""

    file: OracleFile
    run: str
    results: list[CheckResult] = field(default_factory=list)

    async def against(self, rows: Rows | None, reader: LogReader) -> list[CheckResult]:
        """Every check; those of the table are not made without `rows`."""
        self.file.connection.executescript(_TEMPORARY)
        first_ms, last_ms = self.file.span_ms()
        await self._read_pages(reader, TimeRange(first_ms, last_ms))
        checks = {**_API_CHECKS, **_ORDER}
        if rows is not None:
            await self._read_rows(rows, first_ms, last_ms)
            checks = {**_CHECKS, **checks, **_AGREEMENT}
        self.results = [self._made(name, query) for name, query in checks.items()]
        if rows is None:
            self.results += [CheckResult(name, None) for name in (*_CHECKS, *_AGREEMENT)]
        return self.results

    def missing(self) -> int:
        """Acknowledged events that the last reading of the API did not hold."""
        query = _API_CHECKS["acknowledged is in the API"]
        found: int = self.file.connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
        return found

    async def read_api(self, reader: LogReader) -> int:
        """Reads the API alone, and says what is missing."""
        self.file.connection.executescript(_TEMPORARY)
        first_ms, last_ms = self.file.span_ms()
        await self._read_pages(reader, TimeRange(first_ms, last_ms))
        return self.missing()

    async def _read_rows(self, rows: Rows, first_ms: int, last_ms: int) -> None:
        insert = self.file.connection.execute
        insert("BEGIN")
        async for identifier, digest in rows.stored(first_ms, last_ms, source_of(self.run, 0)[:-3]):
            insert("INSERT INTO stored VALUES (?, ?)", (identifier, digest))
        async for payload, count in rows.dead(first_ms):
            # The id stands in the bytes that were sent; other runs' dead letters are not ours to judge.
            identifier = payload[8:44].decode("ascii", "replace")
            insert("INSERT INTO dead SELECT id, ? FROM events WHERE id = ?", (count, identifier))
        insert("COMMIT")

    async def _read_pages(self, reader: LogReader, within: TimeRange) -> None:
        prefix, cursor = source_of(self.run, 0)[:-3], None
        insert = self.file.connection.execute
        insert("BEGIN")
        while True:
            page = await reader.page(within, None, _PAGE, cursor)
            for event in page.logs:
                if event.source.startswith(prefix):
                    insert("INSERT INTO listed VALUES (?, ?)", (str(event.id), hash_of(event)))
            cursor = page.next_cursor
            if cursor is None:
                break
        insert("COMMIT")

    def _made(self, name: str, query: str) -> CheckResult:
        connection = self.file.connection
        count = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
        first = connection.execute(f"{query} LIMIT {_NAMED}").fetchall() if count else []
        return CheckResult(name, count, tuple(row[0] for row in first))


_TEMPORARY: Final = """
DROP TABLE IF EXISTS temp.stored; DROP TABLE IF EXISTS temp.listed; DROP TABLE IF EXISTS temp.dead;
CREATE TEMP TABLE stored (id TEXT NOT NULL, hash BLOB NOT NULL);
CREATE TEMP TABLE listed (id TEXT NOT NULL, hash BLOB NOT NULL);
CREATE TEMP TABLE dead (id TEXT NOT NULL, n INTEGER NOT NULL);
CREATE INDEX temp.stored_id ON stored (id); CREATE INDEX temp.listed_id ON listed (id);
CREATE INDEX temp.dead_id ON dead (id);
"""


def hash_of(event: StoredEvent) -> bytes:
    """The content hash of an event as the query API shows it."""

    attributes = "" if event.attributes is None else json.dumps(event.attributes)
    unix_ms = round(event.timestamp.timestamp() * 1000)
    parts = (str(event.id), str(unix_ms), event.severity, event.source, event.message, attributes)
    return content_hash(parts)
