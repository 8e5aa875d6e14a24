"""A gateway application on a publisher in memory, and requests to it without a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest

from ingest_gateway.__main__ import ingest_limits, request_policy
from ingest_gateway.accounts_report import AccountsReport
from ingest_gateway.app import create_app
from ingest_gateway.health import Readiness
from ingest_gateway.ingest import IngestParts
from ingest_gateway.metrics import GatewayMetrics
from ingest_gateway.producer_accounts import ProducerAccounts
from ingest_gateway.publishing import EventPublisher
from ingest_gateway.quotas import Requests
from ingest_gateway.request_body import RequestBytes
from tests.fakes.memory_publisher import MemoryPublisher
from threatlog.access.key_watch import KeyWatch
from threatlog.process.http_metrics import AsgiApp
from threatlog.process.settings import Limits, Server, Settings

NOW = datetime(2026, 11, 24, 10, 15, 31, 500000, tzinfo=UTC)
SINGLE = "/api/v1/logs/ingest"
BATCH = "/api/v1/logs/ingest/batch"
EVENT = {"timestamp": "2026-11-24T10:15:30.123Z", "severity": "HIGH", "source": "web-01", "message": "m"}
SMALL = Limits(max_body_bytes=20_000, max_decompressed_bytes=40_000, max_batch_events=5, max_event_bytes=4096)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a test of the application holds."""

    app: AsgiApp
    publisher: MemoryPublisher
    registry: CollectorRegistry
    readiness: Readiness
    request_bytes: RequestBytes
    http: httpx.AsyncClient

    def metric(self, line_start: str) -> float:
        """The value of the first sample whose line starts so."""
        for line in generate_latest(self.registry).decode().splitlines():
            if line.startswith(line_start):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {line_start}")


def make_gateway(
    publisher: EventPublisher | None = None,
    limits: Limits = SMALL,
    read_timeout: float = 30.0,
    now: Callable[[], datetime] = lambda: NOW,
    keys: KeyWatch | None = None,
    accounts: ProducerAccounts | None = None,
    report: AccountsReport | None = None,
) -> Gateway:
    """A gateway with `limits` on `publisher`, or on one in memory."""
    registry, readiness, memory = CollectorRegistry(), Readiness(), MemoryPublisher()
    request_bytes = RequestBytes(limits.max_request_bytes_in_flight)
    settings = Settings(limits=limits, server=Server(read_timeout=read_timeout))
    parts = IngestParts(
        publisher or memory,
        GatewayMetrics(registry),
        ingest_limits(settings),
        request_bytes,
        Requests(request_policy(settings), time.monotonic, accounts or ProducerAccounts()),
        now=now,
        random_bytes=bytes,
    )
    app = create_app(parts, settings, registry, readiness, keys, report)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    http = httpx.AsyncClient(transport=transport, base_url="http://gateway")
    return Gateway(app, memory, registry, readiness, request_bytes, http)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body, after holding it to the one shape that every error has."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"urn:threatlog:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["retryable"] is (status in (408, 429, 503))
    assert ("retry-after" in answer.headers) is body["retryable"]
    return body
