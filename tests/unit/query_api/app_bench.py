"""The query API's application over an event reader in memory, and what stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from ingest_gateway.contract import unix_us
from query_api.app import create_app
from query_api.completeness import Lag, completeness
from query_api.exports.export_metrics import ExportMetrics
from query_api.exports.export_service import ExportService
from query_api.exports.export_store import ExportStore
from query_api.health import Health
from query_api.lag_monitor import LagReport
from query_api.page_cache import CachePolicy, PageCache
from query_api.positions import StoredUntil
from query_api.reading import ProcessFigures
from query_api.recent_lists import RecentReader
from query_api.routes import Parts
from query_api.service import QueryService
from query_api.telemetry import QueryFigures
from tests.fakes.memory_pages import MemoryPages
from tests.fakes.memory_reader import MemoryReader
from tests.fakes.memory_receipts import MemoryReceiptStore
from tests.fakes.memory_topic import MemoryTopic
from tests.unit.query_api.builders import NOON, Clock, logged_event, moment
from tests.unit.query_api.empty_exports import one_empty_export
from tests.unit.query_api.receipts.receipt_bench import receipts_of
from tests.unit.query_api.scripted_pool import ScriptedPool, sessions_over
from tests.unit.query_api.tail.tail_bench import tails_of
from tests.unit.query_api.test_recent_lists import Lists
from threatlog.access.key_watch import KeyWatch

HOUR = {"start_time": "2024-03-12T12:00:00Z", "end_time": "2024-03-12T13:00:00Z"}


class Surroundings:
    """What is known about the lag."""

    def __init__(self) -> None:
        self.known_lag = Lag(12, NOON, stale=False)

    def completeness(self, stored_until_us: StoredUntil) -> Any:
        return completeness(stored_until_us, None)

    def lag(self) -> Lag:
        return self.known_lag

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

    def __init__(self, keys: KeyWatch | None = None) -> None:
        events = [logged_event(n, severity="HIGH" if n % 2 else "LOW") for n in range(5)]
        self.reader = MemoryReader(events, {0: unix_us(moment(7200))})
        self.clock = Clock()
        self.surroundings = Surroundings()
        self.store, self.redis = StoreProbe(), RedisProbe()
        self.health = Health(self.store, self.redis, keys)
        registry = CollectorRegistry()
        self.figures = QueryFigures(registry)
        cache = PageCache(MemoryPages(self.clock), CachePolicy(True, 60.0, 1.0, 1 << 20), self.clock, self.figures)
        lists = Lists([])
        lists.away = True
        recent = RecentReader(lists, self.reader, lambda: {0}, lambda: moment(100))
        service = QueryService(self.reader, recent, cache, self.surroundings, self.figures.rows_given)
        self.exports_pool = ScriptedPool(one_empty_export)
        exports = ExportService(
            ExportStore(sessions_over(self.exports_pool), "events"),
            self.surroundings,
            ExportMetrics(registry),
            2,
            self.clock,
            lambda: self.health.stopping,
        )
        self.topic, self.receipts = MemoryTopic(), MemoryReceiptStore()
        self.tails = tails_of(self.topic, registry, judge=None if keys is None else keys.why_no_longer)
        parts = Parts(
            service=service,
            figures_store=FiguresInMemory(),
            lag=self.surroundings,
            health=self.health,
            figures=self.figures,
            max_offset=5000,
            exports=exports,
            tails=self.tails,
            receipts=receipts_of(self.receipts, self.topic, self.surroundings),
        )
        self.app = create_app(parts, registry, keys)


async def page(client: httpx.AsyncClient, **parameters: str) -> dict[str, Any]:
    answer = await client.get("/api/v1/logs/query", params={**HOUR, **parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
