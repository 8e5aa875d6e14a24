"""A `threatlog query` process on a stack, and what tests ask of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import asyncpg

from query_api.reading import LoggedEvent
from tests.processes import Spawned, Spawner, http_json
from tests.servers import RealServer, Stack, StackMaker, run_now
from tests.stored_events import store_events, store_positions
from tests.unit.query_api.builders import NOON, logged_event, moment
from threatlog.embedded.ports import LOOPBACK, free_port

EVENTS = [logged_event(n, severity="HIGH" if n % 2 else "LOW", source=f"s{n % 3}") for n in range(200)]
# A filter for which the events are read, so that its answers are kept in Redis too.
COSTLY = "-quux"
HOUR = {"start_time": "2024-03-12T12:00:00Z", "end_time": "2024-03-12T13:00:00Z"}


@dataclass(frozen=True, slots=True)
class QueryApi:
    """A running process and its address."""

    process: Spawned
    url: str

    def get(self, path: str, **parameters: str) -> tuple[int, Any]:
        """The status and the decoded body."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return http_json(f"{self.url}{path}{query}")

    def page(self, **parameters: str) -> dict[str, Any]:
        """A page of the hour after noon, which must succeed."""
        status, body = self.get("/api/v1/logs/query", **{**HOUR, **parameters})
        assert status == 200, body
        found: dict[str, Any] = body
        return found

    def timed_page(self, **parameters: str) -> tuple[float, dict[str, Any]]:
        """The same with the seconds it took."""
        started = time.monotonic()
        found = self.page(**parameters)
        return time.monotonic() - started, found


def start_query(spawn: Spawner, stack: Stack, **variables: str) -> QueryApi:
    """Starts the process on a free port and waits until it is healthy."""
    port = free_port(random.Random())
    # A machine busy with other tests may be late; who tests the timeout of Redis sets it.
    patient = {"THREATLOG_REDIS_TIMEOUT": "1s", "THREATLOG_QUERY_PORT": str(port)}
    environment = stack.with_environment(**{**patient, **variables})
    api = QueryApi(spawn("query", ["-m", "threatlog", "query"], environment), f"http://{LOOPBACK}:{port}")
    api.process.wait_http(f"{api.url}/health")
    return api


@contextmanager
def filled(stack_maker: StackMaker, events: list[LoggedEvent]) -> Iterator[Stack]:
    """Servers with these events."""
    stack = stack_maker.make(4, {})
    fill(stack, events)
    yield stack
    stack_maker.remove(stack)


def fill(stack: Stack, events: list[LoggedEvent], partitions: int = 4) -> None:
    """Stores events, all of them complete until long after the last."""

    async def store() -> None:
        connection = await asyncpg.connect(stack.postgres_dsn)
        await store_events(connection, events)
        until = dict.fromkeys(range(partitions), moment(7200))
        await store_positions(connection, stack.settings.kafka.topic, until)
        await connection.close()

    run_now(store())


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """What of an answer does not depend on when and from where it was given."""
    return {name: value for name, value in body.items() if name not in {"cached", "age_ms", "lag", *names}}


@contextmanager
def frozen(server: RealServer) -> Iterator[None]:
    """The server takes connections and says nothing."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def killed(server: RealServer) -> Iterator[None]:
    """The server is gone; afterwards it is back on its port."""
    server.kill()
    try:
        yield
    finally:
        server.start()
        server.wait_ready(60)


__all__ = ["HOUR", "NOON", "QueryApi", "fill", "frozen", "killed", "start_query", "without"]


def redis_command(stack: Stack, *words: str | bytes) -> Any:
    """What Redis answers to a command."""
    from redis import Redis

    settings = stack.settings.redis
    with Redis(settings.host, settings.port, settings.database, socket_timeout=10) as client:
        return client.execute_command(*words)
