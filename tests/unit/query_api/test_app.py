"""The HTTP answers of the query API over an event reader in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from ingest_gateway.contract import unix_us
from query_api import openapi_examples as examples
from query_api.app import create_app
from query_api.completeness import Lag, completeness
from query_api.health import Health
from query_api.lag_monitor import LagReport
from query_api.page_cache import CachePolicy, PageCache
from query_api.reading import ProcessFigures, QueryTimeoutError, StoredUntil, StoreUnavailableError
from query_api.recent_lists import RecentReader
from query_api.routes import Parts
from query_api.service import QueryService
from query_api.telemetry import QueryFigures
from tests.fakes.memory_pages import MemoryPages
from tests.fakes.memory_reader import MemoryReader
from tests.unit.query_api.builders import NOON, Clock, logged_event, moment
from tests.unit.query_api.test_recent_lists import Lists

HOUR = {"start_time": "2026-11-24T12:00:00Z", "end_time": "2026-11-24T13:00:00Z"}


class Surroundings:
    """What is known about the lag."""

    def completeness(self, stored_until_us: StoredUntil) -> Any:
        return completeness(stored_until_us, None)

    def lag(self) -> Lag:
        return Lag(12, NOON, stale=False)

    def report(self) -> LagReport:
        return LagReport("events", (), None, None, NOON, stale=True, detail="Kafka is away")


class FiguresInMemory:
    """A FiguresStore with one process."""

    async def figures(self) -> tuple[int, Sequence[ProcessFigures]]:
        return 5, [ProcessFigures("a", "query", {"total_queries": 3}, 9.0, 0.1)]

    async def report(self, process: str, started_at: datetime, counters: bytes) -> None: ...


class StoreProbe:
    """PostgreSQL as /health sees it."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None

    async def ping(self, timeout_s: float) -> None:  # noqa: ARG002 - the interface's name
        if self.trouble is not None:
            raise self.trouble


class RedisProbe:
    """Redis as /health sees it."""

    def __init__(self) -> None:
        self.answers = True

    async def ping(self) -> bool:
        return self.answers


class Bench:
    """The application and what it stands on."""

    def __init__(self) -> None:
        events = [logged_event(n, severity="HIGH" if n % 2 else "LOW") for n in range(5)]
        self.reader = MemoryReader(events, {0: unix_us(moment(7200))})
        self.clock = Clock()
        self.surroundings = Surroundings()
        self.store, self.redis = StoreProbe(), RedisProbe()
        self.health = Health(self.store, self.redis)
        registry = CollectorRegistry()
        self.figures = QueryFigures(registry)
        cache = PageCache(MemoryPages(self.clock), CachePolicy(True, 60.0, 1.0), self.clock, self.figures)
        lists = Lists([])
        lists.away = True
        recent = RecentReader(lists, self.reader, lambda: {0}, lambda: moment(100))
        service = QueryService(self.reader, recent, cache, self.surroundings, self.figures.rows_given)
        parts = Parts(service, FiguresInMemory(), self.surroundings, self.health, self.figures, max_offset=5000)
        self.app = create_app(parts, registry)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(bench.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://query") as client:
        yield client


async def page(client: httpx.AsyncClient, **parameters: str) -> dict[str, Any]:
    answer = await client.get("/api/v1/logs/query", params={**HOUR, **parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_page_is_newest_first_with_its_total_and_how_complete_it_is(client: httpx.AsyncClient) -> None:
    found = await page(client, limit="2")
    assert (found["total"], found["count"], found["cached"]) == (5, 2, False)
    assert [log["message"] for log in found["logs"]] == ["message 4", "message 3"]
    assert found["complete_until"] == found["total_complete_until"] == "2026-11-24T14:00:00Z"
    assert found["lag"] == {"events": 12, "as_of": "2026-11-24T12:00:00Z", "stale": False}


async def test_an_event_has_the_documented_fields_and_attributes_only_where_there_are_any(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    raw = b'{"b":  1, "a":1.0}'
    bench.reader.stored = [logged_event(1), msgspec.structs.replace(logged_event(2), attributes=msgspec.Raw(raw))]
    answer = await client.get("/api/v1/logs/query", params=HOUR)
    assert raw in answer.content
    second, first = answer.json()["logs"]
    assert list(first) == ["id", "timestamp", "severity", "source", "message", "ingested_at"]
    assert list(second) == [*first, "attributes"]


async def test_filters_narrow_the_page_and_the_total(client: httpx.AsyncClient) -> None:
    assert (await page(client, severity="HIGH"))["total"] == 2
    assert (await page(client, source="nowhere"))["logs"] == []


async def test_following_the_cursor_gives_every_event_once(client: httpx.AsyncClient) -> None:
    seen, cursor = [], None
    while True:
        found = await page(client, limit="2", **({"cursor": cursor} if cursor else {}))
        seen += [log["message"] for log in found["logs"]]
        assert found["total"] == 5
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"message {n}" for n in (4, 3, 2, 1, 0)]


async def test_the_total_by_cursor_stays_the_first_pages(bench: Bench, client: httpx.AsyncClient) -> None:
    first = await page(client, limit="2")
    bench.reader.stored.append(logged_event(50))
    bench.reader.stored_until_us = {0: unix_us(moment(9000))}
    second = await page(client, limit="2", cursor=first["next_cursor"])
    assert second["total"] == 5
    assert second["total_complete_until"] == first["complete_until"]
    assert second["complete_until"] == "2026-11-24T14:30:00Z"


async def test_a_repeated_question_is_answered_from_the_cache_and_says_so(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    first = await page(client)
    bench.clock.now_s += 5
    second = await page(client)
    assert (second.pop("cached"), second.pop("age_ms")) == (True, 5000)
    assert (first.pop("cached"), first.pop("age_ms")) == (False, 0)
    assert second == first
    assert bench.reader.asked == 1


async def test_a_range_that_is_still_filling_is_kept_for_a_shorter_time(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    bench.reader.stored_until_us = {0: unix_us(moment(3599))}
    await page(client)
    bench.clock.now_s += 1.1
    assert (await page(client))["cached"] is False


async def test_an_answer_says_why_it_cannot_tell_how_complete_it_is(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.reader.stored_until_us = {}
    found = await page(client)
    assert found["complete_until"] is None
    assert "no worker" in found["incomplete_reason"]


async def test_one_event_is_found_by_its_id(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/v1/logs/{logged_event(3).id}")
    assert answer.status_code == 200
    assert answer.json()["message"] == "message 3"
    assert answer.json()["complete_until"] == "2026-11-24T14:00:00Z"


async def test_an_unknown_id_is_not_found_and_says_how_complete_that_is(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/v1/logs/{UUID(int=9)}")
    assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")
    assert answer.json()["complete_until"] == "2026-11-24T14:00:00Z"


async def test_the_exact_time_may_be_given_with_an_id(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/logs/{logged_event(3).id}"
    assert (await client.get(path, params={"timestamp": "2026-11-24T12:00:03Z"})).status_code == 200
    assert (await client.get(path, params={"timestamp": "2026-11-24T12:00:04Z"})).status_code == 404


async def test_recent_events_say_where_they_came_from(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/logs/recent", params={"limit": "2", "severity": "LOW"})).json()
    assert (found["count"], found["served_from"]) == (2, "postgres")
    assert [log["message"] for log in found["logs"]] == ["message 4", "message 2"]


async def test_counts_are_by_severity_and_source(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.reader.stored += [logged_event(10 + n, source=f"host-{n:03d}") for n in range(101)]
    found = (await client.get("/api/v1/stats", params=HOUR)).json()
    assert found["total"] == 106
    assert found["by_severity"] == {"CRITICAL": 0, "HIGH": 103, "MEDIUM": 0, "LOW": 3, "INFO": 0}
    assert found["by_source"]["web-01"] == 5
    assert len(found["by_source"]) == 100
    assert found["other"] == {"sources": 2, "count": 2}


async def test_metrics_are_those_of_all_processes(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/metrics")).json()
    assert (found["total_logs_ingested"], found["total_queries"], found["uptime_seconds"]) == (5, 3, 9.0)


async def test_the_lag_is_told_as_it_is_known(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/lag")).json()
    assert (found["stale"], found["detail"]) == (True, "Kafka is away")


@pytest.mark.parametrize(
    "path", ["/api/v1/logs/query", "/api/v1/stats", "/api/v1/logs/recent", f"/api/v1/logs/{UUID(int=1)}"]
)
@pytest.mark.parametrize(
    ("trouble", "status", "code", "retryable"),
    [
        (StoreUnavailableError("away"), 503, "postgres_unavailable", True),
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
    assert ("retry-after" in answer.headers) == (status == 503)


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
    ],
)
async def test_every_refusal_is_a_problem(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "retryable"} <= answer.json().keys()


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
        "/api/v1/logs/{id}",
        "/api/v1/stats",
        "/api/v1/metrics",
        "/api/v1/lag",
        "/health",
        "/livez",
        "/readyz",
        "/metrics",
    }
    for path, methods in paths.items():
        if path != "/metrics":
            assert "example" in json.dumps(methods["get"]["responses"]["200"]), path


async def test_the_description_can_be_read_in_a_browser(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")


async def test_a_question_of_seven_days_ago_is_the_same_question_in_another_zone(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    await page(client)
    shifted = (NOON + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")
    assert (await page(client, start_time=shifted))["cached"] is True
