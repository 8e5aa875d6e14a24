"""The query API as a process, with each of its servers killed, frozen or emptied under it."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from query_api.answers import json_body
from query_api.reading import LoggedEvent
from stream_app.contract import RECENT_EVENTS, RedisKeys
from tests.conftest import MakeStack
from tests.integration.query_api.running import (
    COSTLY,
    EVENTS,
    HOUR,
    QueryApi,
    fill,
    frozen,
    killed,
    redis_command,
    start_query,
    without,
)
from tests.processes import Spawner, http_status, spawning, wait_until
from tests.servers import Stack, StackMaker, run_now
from tests.stored_events import store_events
from tests.unit.query_api.builders import logged_event
from threatlog.embedded.ports import free_port

pytestmark = pytest.mark.integration

# What a silent Redis may add to an answer; asked is 100 ms, the rest is for a machine that is busy with other tests.
SILENT_REDIS_COSTS_S = 0.1
BUSY_S = 1.5


@pytest.fixture(scope="module")
def stack(stack_maker: StackMaker) -> Iterator[Stack]:
    """One for all tests that leave its database as it was; each asks for pages of a size of its own."""
    made = stack_maker.make(4, {})
    fill(made, EVENTS)
    yield made
    stack_maker.remove(made)


@pytest.fixture(scope="module")
def shared_process(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryApi]:
    with spawning(tmp_path_factory.mktemp("logs")) as spawn:
        yield start_query(spawn, stack)


@pytest.fixture
def api(shared_process: QueryApi) -> QueryApi:
    """A process that other tests use as well, over what they did to its servers."""

    def healthy() -> bool:
        return bool(shared_process.get("/health")[1].get("status") == "healthy")

    wait_until(healthy, 30, "it is healthy again")
    return shared_process


@pytest.fixture
def own_stack(make_stack: MakeStack) -> Stack:
    """One to change."""
    made = make_stack()
    fill(made, EVENTS)
    return made


def answers_of(api: QueryApi) -> list[Any]:
    """What an analyst gets to different questions, less where it came from."""
    asked = {"limit": "7"}, {"severity": "HIGH", "limit": "3"}, {"source": "s1", "offset": "5"}, {"q": COSTLY}
    pages = [api.page(**parameters) for parameters in asked]
    recent = api.get("/api/v1/logs/recent", limit="5")
    event = api.get(f"/api/v1/logs/{EVENTS[3].id}")
    stats = api.get("/api/v1/stats", **HOUR)
    assert {recent[0], event[0], stats[0]} == {200}
    return [without(body, "served_from") for body in (*pages, recent[1], event[1], stats[1])]


def test_redis_killed_gives_the_same_answers_and_a_degraded_health(stack: Stack, api: QueryApi) -> None:
    before = answers_of(api)
    with killed(stack.servers.redis):
        assert answers_of(api) == before
        assert api.get("/health") == (200, {"status": "degraded", "postgres": "connected", "redis": "disconnected"})
    wait_until(lambda: api.get("/health")[1]["redis"] == "connected", 15, "Redis is used again")
    assert answers_of(api) == before


def test_redis_frozen_gives_the_same_answers_a_little_later(stack: Stack, spawn: Spawner) -> None:
    settings = {"THREATLOG_REDIS_TIMEOUT": "50ms", "THREATLOG_CACHE_MAX_MEMORY_BYTES": "0"}
    api = start_query(spawn, stack, **settings)
    before = answers_of(api)
    with frozen(stack.servers.redis):
        for _ in range(3):
            took_s, _page = api.timed_page(limit="9", q=COSTLY)
            assert took_s < SILENT_REDIS_COSTS_S + BUSY_S
        assert answers_of(api) == before


def test_redis_emptied_gives_the_same_answers(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack, THREATLOG_CACHE_MAX_MEMORY_BYTES="0")
    before = answers_of(api)
    assert api.page(q=COSTLY)["cached"]
    redis_command(stack, "FLUSHALL")
    assert not api.page(q=COSTLY)["cached"]
    assert answers_of(api) == before


def test_postgres_gone_is_a_503_that_can_be_retried_and_it_recovers(stack: Stack, api: QueryApi) -> None:
    with killed(stack.servers.postgres):
        status, problem = api.get("/api/v1/logs/query", **HOUR, limit="13")
        assert (status, problem["code"], problem["retryable"]) == (503, "postgres_unavailable", True)
        status, problem = api.get("/health")
        assert (status, problem["postgres"]) == (503, "disconnected")
        assert api.get("/livez")[0] == 200
    wait_until(lambda: api.get("/health")[0] == 200, 30, "it recovers")
    assert api.page(limit="13")["total"] == len(EVENTS)


def test_it_starts_without_postgres_and_is_ready_when_that_is(stack: Stack, spawn: Spawner) -> None:
    with killed(stack.servers.postgres):
        port = free_port(random.Random())
        environment = stack.with_environment(THREATLOG_QUERY_PORT=str(port))
        process = spawn("query", ["-m", "threatlog", "query"], environment)
        process.wait_http(f"http://127.0.0.1:{port}/livez")
        assert http_status(f"http://127.0.0.1:{port}/readyz") == 503
    process.wait_http(f"http://127.0.0.1:{port}/readyz")


def test_a_cached_page_is_given_while_postgres_is_gone(stack: Stack, api: QueryApi) -> None:
    before = api.page(limit="17")
    with killed(stack.servers.postgres):
        assert without(api.page(limit="17")) == without(before)


def test_postgres_frozen_is_a_503_within_the_deadline(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack, THREATLOG_QUERY_STATEMENT_TIMEOUT="1s")
    with frozen(stack.servers.postgres):
        for limit in ("19", "20"):
            started = time.monotonic()
            status, problem = api.get("/api/v1/logs/query", **HOUR, limit=limit)
            assert (status, problem["code"]) == (503, "postgres_unavailable")
            assert time.monotonic() - started < 1.0 + 1.0 + BUSY_S
        assert api.get("/health")[0] == 503
    wait_until(lambda: api.get("/health")[0] == 200, 30, "it recovers")
    assert api.page(limit="19")["total"] == len(EVENTS)


def test_a_query_that_takes_too_long_is_a_504(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack, THREATLOG_QUERY_STATEMENT_TIMEOUT="300ms")

    async def hold_and_ask() -> tuple[int, Any]:
        connection = await asyncpg.connect(stack.postgres_dsn)
        async with connection.transaction():
            await connection.execute("LOCK TABLE logs IN ACCESS EXCLUSIVE MODE")
            found = api.get("/api/v1/logs/query", **HOUR)
        await connection.close()
        return found

    status, problem = run_now(hold_and_ask())
    assert (status, problem["code"], problem["retryable"]) == (504, "query_timeout", True)


def test_kafka_gone_delays_no_query_and_the_lag_is_marked_stale(stack: Stack, api: QueryApi) -> None:
    wait_until(lambda: api.get("/api/v1/lag")[1]["stale"] is False, 20, "the lag is known")
    with killed(stack.servers.kafka):
        took_s, page = api.timed_page(limit="23")
        assert took_s < BUSY_S
        assert page["total"] == len(EVENTS)
        report: dict[str, Any] = wait_until(
            lambda: body if (body := api.get("/api/v1/lag")[1])["stale"] else {}, 20, "the lag is stale"
        )
        assert report["detail"]
        assert [entry["end_offset"] for entry in report["partitions"]] == [0, 0, 0, 0]
    wait_until(lambda: api.get("/api/v1/lag")[1]["stale"] is False, 60, "the lag is known again")


def test_sigterm_ends_it_with_success_within_ten_seconds(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack)
    started = time.monotonic()
    api.process.child.send(signal.SIGTERM)
    assert api.process.wait_exit(10) == 0
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", ["postgres", "redis", "kafka"])
def test_sigterm_ends_it_also_with_a_frozen_server(stack: Stack, spawn: Spawner, name: str) -> None:
    api = start_query(spawn, stack)
    with frozen(getattr(stack.servers, name)):
        api.process.child.send(signal.SIGTERM)
        assert api.process.wait_exit(10) == 0


def seed_lists(stack: Stack, events: list[LoggedEvent], *, age_s: float = 0.0) -> None:
    """The keys as the stream application keeps them."""
    keys = RedisKeys(stack.settings.redis.key_prefix)
    until_us = int((time.time() - age_s) * 1_000_000)
    for event in events[-RECENT_EVENTS:]:
        score = str(int(event.timestamp.timestamp() * 1_000_000))
        redis_command(stack, "ZADD", keys.recent, score, json_body(event))
    for partition in range(4):
        redis_command(stack, "HSET", keys.stored_until, str(partition), str(until_us))
    redis_command(stack, "SET", keys.seeded, "1")


def test_recent_events_come_from_redis_as_postgres_would_give_them(own_stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, own_stack)
    _, from_postgres = api.get("/api/v1/logs/recent", limit="20")

    def from_redis() -> Any:
        seed_lists(own_stack, EVENTS[-50:], age_s=-1.0)
        found = api.get("/api/v1/logs/recent", limit="20")[1]
        return found if found["served_from"] == "redis" else None

    found = wait_until(from_redis, 20, "the lists are used")
    assert from_postgres["served_from"] == "postgres"
    assert found["logs"] == from_postgres["logs"]


def test_lists_that_nobody_keeps_up_to_date_are_not_used(own_stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, own_stack)
    seed_lists(own_stack, EVENTS[-5:], age_s=30.0)
    assert api.get("/api/v1/logs/recent")[1]["served_from"] == "postgres"


def test_figures_are_those_of_all_processes_those_that_are_gone_too(own_stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, own_stack)
    other = start_query(spawn, own_stack)
    for number in range(3):
        api.page(limit=str(30 + number), q=COSTLY)
        other.page(limit=str(30 + number), q=COSTLY)

    def both_counted() -> bool:
        body = api.get("/api/v1/metrics")[1]
        return bool((body["total_queries"], body["cache_hits"], body["cache_misses"]) == (6, 3, 3))

    wait_until(both_counted, 10, "both processes are counted")
    other.process.child.send(signal.SIGTERM)
    other.process.wait_exit(10)
    assert both_counted()
    body = api.get("/api/v1/metrics")[1]
    assert (body["total_logs_ingested"], body["cache_hit_ratio"]) == (len(EVENTS), 0.5)
    assert body["p95_query_latency_ms"] > 0


def test_without_tables_it_says_what_to_do(own_stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, own_stack)

    async def drop() -> None:
        connection = await asyncpg.connect(own_stack.postgres_dsn)
        await connection.execute("DROP TABLE logs, consumer_offsets CASCADE")
        await connection.close()

    run_now(drop())
    status, problem = api.get("/health")
    assert (status, problem["code"]) == (503, "postgres_unavailable")
    assert "threatlog migrate" in problem["detail"]


def test_a_taken_port_is_one_clear_line(stack: Stack, api: QueryApi, spawn: Spawner) -> None:
    port = api.url.rsplit(":", 1)[1]
    second = spawn("query", ["-m", "threatlog", "query"], stack.with_environment(THREATLOG_QUERY_PORT=port))
    assert second.wait_exit(20) == 78
    assert f"cannot listen on 127.0.0.1:{port}" in second.log_text()
    assert "THREATLOG_QUERY_PORT" in second.log_text()


def test_a_late_event_appears_when_the_cached_page_is_over(own_stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, own_stack, THREATLOG_CACHE_TTL="1s")
    assert api.page()["total"] == len(EVENTS)

    async def store_late() -> None:
        connection = await asyncpg.connect(own_stack.postgres_dsn)
        await store_events(connection, [logged_event(900)])
        await connection.close()

    run_now(store_late())
    wait_until(lambda: api.page()["total"] == len(EVENTS) + 1, 10, "the late event is in the page")
