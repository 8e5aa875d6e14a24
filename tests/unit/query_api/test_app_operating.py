"""Problems, health, metrics and the description of the query API, as HTTP answers."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from query_api import openapi_examples as examples
from query_api.reading import QueryTimeoutError, StoreBusyError, StoreUnavailableError
from query_api.telemetry import QUERY_LATENCY_COUNT, TOTAL_QUERIES
from tests.unit.query_api.app_bench import HOUR, Bench, page


@pytest.mark.parametrize(
    "path", ["/api/v1/logs/query", "/api/v1/stats", "/api/v1/logs/recent", f"/api/v1/logs/{UUID(int=1)}"]
)
@pytest.mark.parametrize(
    ("trouble", "status", "code", "retryable"),
    [
        (StoreUnavailableError("away"), 503, "postgres_unavailable", True),
        (StoreBusyError("others"), 503, "busy", True),
        (QueryTimeoutError("slow"), 504, "query_timeout", True),
        (RuntimeError("bug"), 500, "internal_error", False),
    ],
)
async def test_trouble_of_the_store_is_a_problem(
    bench: Bench, client: httpx.AsyncClient, path: str, trouble: Exception, status: int, code: str, retryable: bool
) -> None:
    bench.reader.trouble = trouble
    parameters = HOUR if path in ("/api/v1/logs/query", "/api/v1/stats") else {}
    answer = await client.get(path, params=parameters)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (status, code, retryable)
    assert ("retry-after" in answer.headers) == retryable


@pytest.mark.parametrize(
    "trouble", [None, StoreUnavailableError("away"), QueryTimeoutError("slow"), RuntimeError("bug")]
)
async def test_queries_that_failed_are_counted_with_their_time(
    bench: Bench, client: httpx.AsyncClient, trouble: Exception | None
) -> None:
    bench.reader.trouble = trouble
    await client.get("/api/v1/logs/query", params=HOUR)
    counters = bench.figures.counters()
    assert (counters[TOTAL_QUERIES], counters[QUERY_LATENCY_COUNT]) == (1, 1)


async def test_an_absent_event_is_an_answer_and_a_refused_parameter_is_no_query(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    assert (await client.get(f"/api/v1/logs/{UUID(int=1)}")).status_code == 404
    assert (await client.get("/api/v1/logs/query")).status_code == 422
    assert bench.figures.counters()[TOTAL_QUERIES] == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/logs/query", 422),
        ("GET", "/api/v1/logs/recent?source=x", 422),
        ("GET", "/api/v1/logs/12", 422),
        ("GET", "/api/v1/stats?start_time=x", 422),
        ("GET", "/api/v1/metrics?x=1", 422),
        ("GET", "/api/v1/lag?x=1", 422),
        ("GET", "/nowhere", 404),
        ("POST", "/api/v1/logs/query", 405),
        ("DELETE", "/health", 405),
        ("OPTIONS", "/health", 405),
        ("GET", "/health/", 404),
        ("GET", "/api/v1/logs/query/", 404),
    ],
)
async def test_every_refusal_is_a_problem(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "retryable"} <= answer.json().keys()


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics", "/api/v1/metrics", "/api/v1/lag"])
async def test_head_is_answered_like_get(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.head(path)).status_code == 200


async def test_health_names_both_services(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, examples.HEALTH)


async def test_without_redis_it_is_degraded_and_still_200(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.redis.answers = False
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["redis"]) == (200, "degraded", "disconnected")


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_without_postgres_it_is_503_with_what_is_wrong(
    bench: Bench, client: httpx.AsyncClient, path: str
) -> None:
    bench.store.trouble = StoreUnavailableError("PostgreSQL cannot be used: refused")
    answer = await client.get(path)
    assert answer.status_code == 503
    found = answer.json()
    assert (found["postgres"], found["redis"], found["detail"]) == (
        "disconnected",
        "connected",
        str(bench.store.trouble),
    )


async def test_a_process_that_stops_is_alive_and_not_ready(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.health.stop()
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_prometheus_metrics_name_routes_and_never_what_was_sent(client: httpx.AsyncClient) -> None:
    await page(client, source="some-sender")
    await client.get("/nowhere/some-path")
    text = (await client.get("/metrics")).text
    assert (
        'threatlog_http_requests_total{code="200",method="GET",route="/api/v1/logs/query",service="query"} 1.0' in text
    )
    assert 'threatlog_cache_requests_total{result="miss"} 1.0' in text
    assert "some-sender" not in text
    assert "some-path" not in text


@pytest.mark.parametrize(
    ("path", "parameters", "example"),
    [
        ("/api/v1/logs/query", HOUR, examples.PAGE),
        ("/api/v1/logs/recent", {}, examples.RECENT),
        ("/api/v1/stats", HOUR, examples.STATS),
        ("/api/v1/logs/histogram", HOUR, examples.HISTOGRAM),
        ("/api/v1/logs/top", {**HOUR, "field": "user"}, examples.TOP),
        ("/api/v1/logs/fields", HOUR, examples.FIELDS),
        ("/api/v1/logs/facets", HOUR, examples.FACETS),
        ("/api/v1/metrics", {}, examples.METRICS),
        ("/api/v1/lag", {}, examples.LAG),
        ("/health", {}, examples.HEALTH),
    ],
)
async def test_the_documented_examples_have_the_fields_of_real_answers(
    client: httpx.AsyncClient, path: str, parameters: dict[str, str], example: dict[str, Any]
) -> None:
    assert list((await client.get(path, params=parameters)).json()) == list(example)


async def test_the_description_has_every_route_with_an_example(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert set(paths) == {
        "/api/v1/logs/query",
        "/api/v1/logs/recent",
        "/api/v1/logs/explain",
        "/api/v1/logs/histogram",
        "/api/v1/logs/top",
        "/api/v1/logs/fields",
        "/api/v1/logs/facets",
        "/api/v1/logs/tail",
        "/api/v1/receipts",
        "/api/v1/logs/{id}",
        "/api/v1/logs/{id}/context",
        "/api/v1/stats",
        "/api/v1/exports",
        "/api/v1/exports/{id}",
        "/api/v1/exports/{id}/rows",
        "/api/v1/metrics",
        "/api/v1/lag",
        "/health",
        "/livez",
        "/readyz",
        "/metrics",
        "/",
        "/page/{version}/{name}",
    }
    for path, methods in paths.items():
        if path not in ("/metrics", "/", "/page/{version}/{name}"):
            for operation in methods.values():
                assert "example" in json.dumps(next(iter(operation["responses"].values()))), path


async def test_the_description_can_be_read_in_a_browser(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")
