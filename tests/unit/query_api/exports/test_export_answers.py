"""Exports as HTTP answers, and what they say when they cannot be had."""

from __future__ import annotations

import gzip

import httpx

from query_api.exports.export_openapi import EXPORT, REQUEST
from query_api.exports.request import MAX_BODY_BYTES
from query_api.reading import StoreUnavailableError
from tests.unit.query_api.app_bench import Bench
from tests.unit.query_api.scripted_pool import Row, nothing

EXPORTS = "/api/v1/exports"
ROWS = f"{EXPORTS}/{EXPORT['id']}/rows"


async def test_the_documented_example_has_the_fields_of_a_real_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post(EXPORTS, json=REQUEST)
    assert answer.status_code == 201
    found = answer.json()
    assert list(found) == list(EXPORT)
    assert answer.headers["location"].startswith(f"{EXPORTS}/")
    assert found["rows_url"] == f"{EXPORTS}/{found['id']}/rows"
    assert found["complete_until"] == "2024-03-12T12:00:00Z"


async def test_a_file_is_named_and_never_kept_by_others(client: httpx.AsyncClient) -> None:
    answer = await client.get(ROWS)
    assert (answer.status_code, gzip.decompress(answer.content)) == (200, b"")
    head = await client.head(ROWS)
    for found in (answer, head):
        assert found.headers["content-type"] == "application/gzip"
        assert found.headers["content-disposition"] == f'attachment; filename="threatlog-{EXPORT["id"]}.ndjson.gz"'
        assert found.headers["cache-control"] == "no-store"
        assert "content-encoding" not in found.headers
    assert head.content == b""


async def test_what_is_no_request_is_refused(client: httpx.AsyncClient) -> None:
    for body, status, code in (
        (b"", 400, "not_json"),
        (b"[]", 422, "invalid_parameter"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "body_too_large"),
    ):
        answer = await client.post(EXPORTS, content=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for query in ("from_byte=-1", "from_byte=x", "part=0", "cursor=x"):
        assert (await client.get(f"{ROWS}?{query}")).status_code == 422, query


async def test_an_unknown_export_is_404(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.exports_pool.answers = nothing
    for method, path in (("GET", ROWS), ("HEAD", ROWS), ("GET", f"{EXPORTS}/x"), ("DELETE", f"{EXPORTS}/x")):
        answer = await client.request(method, path)
        assert answer.status_code == 404, method


async def test_a_stopping_process_begins_none(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.health.stop()
    answer = await client.get(ROWS)
    assert (answer.status_code, answer.json()["code"]) == (503, "stopping")


async def test_trouble_before_the_first_byte_is_a_problem_and_gives_the_place_back(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    answers = bench.exports_pool.answers

    async def away(text: str) -> list[Row]:
        if text.startswith("SELECT count(*) AS n"):
            raise StoreUnavailableError("away")
        return list(await answers(text))

    bench.exports_pool.answers = away
    for _ in range(5):
        assert (await client.get(ROWS)).status_code == 503
    bench.exports_pool.answers = answers
    assert (await client.get(ROWS)).status_code == 200
    metrics = (await client.get("/metrics")).text
    assert "threatlog_exports_running 0.0" in metrics
    assert 'threatlog_exports_ended_total{outcome="completed"} 1.0' in metrics
