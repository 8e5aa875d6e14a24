"""What a worker serves to probes and monitors."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from stream_app.status_server import Status, serve_status
from tests.integration.stream_app.workers import fetch_text, sum_of
from tests.processes import http_json
from threatlog.embedded.ports import free_port

pytestmark = pytest.mark.integration


class Served:
    """A status server whose checks a test sets."""

    def __init__(self) -> None:
        self.port = free_port(random.Random())
        self.registry = CollectorRegistry()
        self.checks = {"postgres": True, "consumer_group": True}
        self.server = serve_status("127.0.0.1", self.port, Status(self.registry, lambda: self.checks))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def served() -> Iterator[Served]:
    """One on a free port."""
    started = Served()
    yield started
    started.server.shutdown()
    started.server.server_close()


@pytest.mark.parametrize("path", ["/readyz", "/health"])
def test_a_worker_is_ready_while_every_check_holds(served: Served, path: str) -> None:
    assert http_json(served.url(path)) == (200, {"status": "healthy", "postgres": "ok", "consumer_group": "ok"})
    served.checks["postgres"] = False

    assert http_json(served.url(path)) == (503, {"status": "unhealthy", "postgres": "failing", "consumer_group": "ok"})


def test_a_worker_that_is_not_ready_is_alive_all_the_same(served: Served) -> None:
    served.checks["postgres"] = False

    assert http_json(served.url("/livez")) == (200, {"status": "alive"})


def test_metrics_are_in_prometheus_text_format(served: Served) -> None:
    Counter("seen", "things", registry=served.registry).inc(3)

    assert sum_of(fetch_text(served.url("/metrics")), "seen_total") == 3


def test_an_unknown_path_is_a_problem_that_names_the_known_ones(served: Served) -> None:
    status, body = http_json(served.url("/nothing"))

    assert (status, body["status"], body["code"], body["retryable"]) == (404, 404, "not_found", False)
    assert "/metrics" in body["detail"]


def test_a_taken_port_is_said_at_the_start(served: Served) -> None:
    with pytest.raises(OSError, match="in use"):
        serve_status("127.0.0.1", served.port, Status(served.registry, dict))
