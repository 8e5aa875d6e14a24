"""Searches whose counts are known, over real events of a sensor: as many are found.

The events are not part of the project. THREATLOG_TEST_EVENTS names the folder with `suricata_eve.ndjson.zst` (one
`{"test", "event"}` a line) and `suricata_checks.ndjson.zst` (`{"test", "count", "match"}`, made from the tests of
suricata-verify); without it this is skipped.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
import zstandard

from ingest_gateway.contract import unix_us
from query_api.filter_language.parse import parse
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from query_api.reading import LoggedEvent
from query_api.scan import ScanPolicy
from query_api.search import SearchFilter
from tests.servers import Stack
from tests.stored_events import store_events

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif("THREATLOG_TEST_EVENTS" not in os.environ, reason="THREATLOG_TEST_EVENTS names no folder"),
]
FIRST = datetime(2026, 11, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def lines(name: str) -> Iterator[str]:
    """The lines of a compressed file."""
    with (Path(os.environ["THREATLOG_TEST_EVENTS"]) / f"{name}.ndjson.zst").open("rb") as file:
        yield from io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")


class _Line(msgspec.Struct):
    test: str
    event: msgspec.Raw


def condition(key: str, value: Any) -> str:
    """One of a check, in the filter language."""
    if key in ("has-key", "not-has-key"):
        sign = "-" if key.startswith("not") else ""
        return " ".join(f"{sign}attributes.{name}:*" for name in (value if isinstance(value, list) else [value]))
    if isinstance(value, list):
        items = [condition(f"{key}[{place}]", item) for place, item in enumerate(value)]
        return " ".join([*items, f"-attributes.{key}[{len(value)}]:*"])
    text = value if isinstance(value, str) else json.dumps(value)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'attributes.{key}:"{quoted}"'


async def test_every_check_finds_as_many_as_it_says(stack: Stack) -> None:
    """Each test of the sensor is a source of its own, in a minute of its own."""
    starts: dict[str, datetime] = {}
    events = []
    for number, line in enumerate(lines("suricata_eve")):
        found = msgspec.json.decode(line, type=_Line)
        ts = starts.setdefault(found.test, FIRST + len(starts) * MINUTE)
        identifier = UUID(int=(unix_us(ts) // 1000 << 80) | 8 << 76 | 2 << 62 | number)
        events.append(LoggedEvent(identifier, ts, "INFO", found.test, "", ts, found.event))
    connection = await asyncpg.connect(stack.postgres_dsn)
    await store_events(connection, events)
    await connection.close()
    made = await connections(stack.postgres_of("query"), 20.0)
    reader = PostgresReader(
        made, stack.settings.kafka.topic, ReaderMemory.empty(time.monotonic), ScanPolicy(20.0, 20.0)
    )
    wrong = []
    checks = [json.loads(line) for line in lines("suricata_checks")]
    for check in checks:
        text = " ".join(condition(key, value) for key, value in check["match"].items())
        start = starts.get(check["test"], FIRST - MINUTE)
        wanted = SearchFilter(start, start + MINUTE, expression=parse(f'source:"{check["test"]}" {text}'))
        counts = await reader.stats(wanted)
        if counts.total != check["count"] or counts.scanned_until is not None:
            wrong.append((text, counts.total, check))
    await reader.close(5.0)
    assert len(checks) > 1000
    assert not wrong, f"{len(wrong)} of {len(checks)}, such as {wrong[:5]}"
