"""What exports hold: the same events as pages, the same bytes in every kind of file, to the last odd character."""

from __future__ import annotations

import csv
import io
import json
import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pyarrow.parquet as pq
import pytest

from query_api.reading import LoggedEvent
from tests.integration.query_api.exporting import (
    ask,
    cancel,
    decompressed,
    hard_events,
    lines_of,
    made,
    newest_first,
    read,
    refused,
    status_of,
)
from tests.integration.query_api.running import HOUR, NOON, QueryApi, filled, start_query
from tests.processes import Spawner, spawning
from tests.servers import Stack, StackMaker, run_now
from tests.stored_events import random_events, store_events

pytestmark = pytest.mark.integration

EVENTS = newest_first(hard_events())
FILTERS: list[dict[str, Any]] = [{}, {"severity": ["HIGH", "LOW"]}, {"q": "-attributes.n:*"}, {"source": "web-01"}]


@pytest.fixture(scope="module")
def stack(stack_maker: StackMaker) -> Iterator[Stack]:
    with filled(stack_maker, EVENTS) as made_stack:
        yield made_stack


@pytest.fixture(scope="module")
def api(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryApi]:
    with spawning(tmp_path_factory.mktemp("logs")) as spawn:
        yield start_query(spawn, stack)


class _Page(msgspec.Struct):
    logs: list[LoggedEvent]
    next_cursor: str | None


def paged(api: QueryApi, **parameters: Any) -> list[LoggedEvent]:
    """All events of pages, one after the other."""
    events: list[LoggedEvent] = []
    asked = {name: ",".join(value) if isinstance(value, list) else value for name, value in parameters.items()}
    while True:
        body = api.page(limit="7", **asked)
        events += [event for event in EVENTS for log in body["logs"] if str(event.id) == log["id"]]
        if body["next_cursor"] is None:
            return newest_first(events)
        asked["cursor"] = body["next_cursor"]


@pytest.mark.parametrize("wanted", FILTERS)
@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_lines_are_the_events_of_pages_in_either_order(api: QueryApi, wanted: dict[str, Any], order: str) -> None:
    found = paged(api, **wanted)
    expected = found if order == "newest_first" else found[::-1]
    export = made(api, order=order, **wanted)
    assert read(api, export) == lines_of(expected)
    status = status_of(api, export)
    assert (status["status"], status["rows"], status["progress"]) == ("completed", len(found), 1.0)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_csv_gives_back_every_cell_and_none_is_a_formula(api: QueryApi, compression: str) -> None:
    export = made(api, format="csv", compression=compression)
    text = decompressed(read(api, export), compression)
    head, *records = csv.reader(io.StringIO(text.decode(), newline=""))
    assert head == ["id", "timestamp", "severity", "source", "message", "ingested_at", "attributes"]
    assert not [cell for record in records for cell in record if cell[:1] in set("=+-@\t\r\n＝＋－＠")]
    assert text.count(b"\r\n") >= len(records) + 1

    for record, event in zip(records, EVENTS, strict=True):
        raw = "" if isinstance(event.attributes, msgspec.UnsetType) else bytes(event.attributes).decode()
        assert [record[place].removeprefix("'") for place in (3, 4, 6)] == [event.source, event.message, raw]
        assert (record[0], record[2]) == (str(event.id), event.severity)
        assert msgspec.json.encode(event.timestamp).decode() == f'"{record[1]}"'


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_parquet_is_read_back_by_pyarrow(api: QueryApi, compression: str) -> None:
    export = made(api, format="parquet", compression=compression)
    for data in (read(api, export), read(api, export, "?part=0")):
        table = pq.read_table(io.BytesIO(data))
        assert [str(field.type) for field in table.schema][1:3] == [
            "timestamp[us, tz=UTC]",
            "dictionary<values=string, indices=int32, ordered=0>",
        ]
        for row, event in zip(table.to_pylist(), EVENTS, strict=True):
            raw = None if isinstance(event.attributes, msgspec.UnsetType) else bytes(event.attributes).decode()
            assert UUID(bytes=row["id"].bytes) == event.id
            assert (row["timestamp"], row["ingested_at"]) == (event.timestamp, event.ingested_at)
            assert (row["severity"], row["source"], row["message"]) == (event.severity, event.source, event.message)
            assert row["attributes"] == raw
    assert refused(api, export, "?part=1")["code"] == "no_such_part"
    assert refused(api, export, "?from_byte=9")["parameter"] == "from_byte"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_any_rest_of_a_file_is_given_again(api: QueryApi, form: str, compression: str) -> None:
    export = made(api, format=form, compression=compression)
    data = read(api, export)
    for start in {0, 1, len(data) // 2, len(data) - 1, len(data)}:
        assert read(api, export, f"?from_byte={start}") == data[start:]
    problem = refused(api, export, f"?from_byte={len(data) + 1}")
    assert (problem["status"], problem["code"], problem["resume_at"]) == (409, "export_changed", len(data))


@pytest.mark.parametrize(
    ("form", "compression", "text"), [("ndjson", "gzip", b""), ("ndjson", "none", b""), ("csv", "zstd", b"id,")]
)
def test_an_export_of_nothing_is_a_whole_file(api: QueryApi, form: str, compression: str, text: bytes) -> None:
    export = made(api, format=form, compression=compression, source="nowhere")
    data = read(api, export)
    assert decompressed(data, compression)[: len(text) or None] == text
    assert (status_of(api, export)["rows"], status_of(api, export)["events_at_most"]) == (0, 0)


@pytest.mark.parametrize(
    ("members", "status", "parameter"),
    [
        ({"format": "xlsx"}, 422, "format"),
        ({"compression": "brotli"}, 422, "compression"),
        ({"order": "random"}, 422, "order"),
        ({"limit": 10}, 422, "limit"),
        ({"q": "a AND"}, 422, "q"),
        ({"q": 5}, 422, "q"),
        ({"severity": ["LOUD"]}, 422, "severity"),
        ({"severity": [1]}, 422, "severity"),
        ({"start_time": "yesterday"}, 422, "start_time"),
        ({"end_time": HOUR["start_time"]}, 422, "end_time"),
        ({"source": "\0"}, 422, "source"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    api: QueryApi, members: dict[str, Any], status: int, parameter: str
) -> None:
    found_status, problem = ask(api, **members)
    assert (found_status, problem["parameter"]) == (status, parameter)


def test_who_exported_what_stands_in_the_audit_log(stack: Stack, api: QueryApi) -> None:
    export = made(api, q="severity:HIGH")
    read(api, export)
    other = made(api)
    assert (cancel(api, other)["status"], cancel(api, other)["status"]) == ("cancelled", "cancelled")
    assert refused(api, other)["code"] == "export_cancelled"

    async def entries(identifier: str) -> list[tuple[str, str, dict[str, Any]]]:
        connection = await asyncpg.connect(stack.postgres_dsn)
        rows = await connection.fetch(
            "SELECT actor, action, detail FROM audit_log WHERE target = $1 ORDER BY id", identifier
        )
        await connection.close()
        return [(row["actor"], row["action"], json.loads(row["detail"])) for row in rows]

    status = status_of(api, export)
    assert run_now(entries(export["id"])) == [
        ("127.0.0.1", "export.created", {**HOUR, "q": "severity:HIGH"}),
        ("127.0.0.1", "export.completed", {"rows": status["rows"], "bytes": status["bytes"], "from_byte": 0}),
    ]
    assert [action for _, action, _ in run_now(entries(other["id"]))] == ["export.created", "export.cancelled"]


@pytest.mark.parametrize("wanted", [{}, {"q": "message"}, {"severity": "HIGH"}])
@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_what_was_stored_before_is_in_it_once_while_more_comes_in(
    stack: Stack, api: QueryApi, wanted: dict[str, str], order: str
) -> None:
    """In another hour than the other tests."""
    rng = random.Random(f"{wanted} {order}")
    start = NOON + timedelta(days=1 + rng.randrange(1000))
    before = random_events(rng, 3000, start, start + timedelta(minutes=50))
    after = random_events(rng, 1000, start, start + timedelta(minutes=50))
    members = {"start_time": start.isoformat(), "end_time": (start + timedelta(hours=1)).isoformat()}

    async def store(events: list[LoggedEvent]) -> None:
        connection = await asyncpg.connect(stack.postgres_dsn)
        for first in range(0, len(events), 100):
            await store_events(connection, events[first : first + 100])
        await connection.close()

    run_now(store(before))
    storing = threading.Thread(target=lambda: run_now(store(after)))
    storing.start()
    exports = [read(api, made(api, order=order, **members, **wanted)) for _ in range(3)]
    storing.join()
    exports.append(read(api, made(api, order=order, **members, **wanted)))
    chosen = [e for e in before if wanted.get("severity") in (None, e.severity)]
    late = {line for event in after for line in [lines_of([event])]}
    for data in exports:
        lines = data.splitlines(keepends=True)
        kept = [line for line in lines if line not in late]
        expected = newest_first(chosen) if order == "newest_first" else newest_first(chosen)[::-1]
        assert b"".join(kept) == lines_of(expected)
        assert len(set(lines)) == len(lines)
    both = [e for e in before + after if wanted.get("severity") in (None, e.severity)]
    assert sorted(exports[-1].splitlines()) == sorted(lines_of(both).splitlines())


def test_another_process_goes_on_and_knows_how_it_stands(stack: Stack, api: QueryApi, spawn: Spawner) -> None:
    export = made(api, compression="gzip")
    data = read(api, export)
    other = start_query(spawn, stack)
    assert read(other, export, "?from_byte=100") == data[100:]
    assert status_of(other, export)["bytes"] == len(data)
