"""Exports over HTTP from a real PostgreSQL."""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any

import pytest

from tests.integration.query_api.running import HOUR, QueryApi, fill, start_query
from tests.processes import Spawner
from tests.servers import Stack
from tests.unit.query_api.builders import logged_event, with_attributes

pytestmark = pytest.mark.integration


def post(api: QueryApi, **members: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{api.url}/api/v1/exports", json.dumps({**HOUR, **members}).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
        found: dict[str, Any] = json.load(answer)
    return found


def rows(api: QueryApi, export: dict[str, Any], query: str = "") -> bytes:
    with urllib.request.urlopen(f"{api.url}{export['rows_url']}{query}", timeout=30) as answer:
        found: bytes = answer.read()
    return found


def test_vertical(stack: Stack, spawn: Spawner) -> None:
    events = [with_attributes(logged_event(n), b'{"n": %d,\n "x":"\\u0000"}' % n) for n in range(200)]
    fill(stack, events)
    api = start_query(spawn, stack)
    export = post(api, format="ndjson")
    data = rows(api, export)
    print(export, data[:600])
    print(api.get("/api/v1/exports/" + export["id"]))
    assert data.count(b"\n") == 200
    assert [json.loads(l)["message"] for l in data.splitlines()] == [e.message for e in events[::-1]]
    for skip in (0, 1, 1000, len(data)):
        assert rows(api, export, f"?from_byte={skip}") == data[skip:]
    export = post(api, format="csv", compression="gzip", order="oldest_first", q="message")
    print(gzip.decompress(rows(api, export))[:500])
    export = post(api, format="parquet", compression="zstd", q="message")
    import pyarrow.parquet as pq, io
    print(pq.read_table(io.BytesIO(rows(api, export))).to_pylist()[:2])
