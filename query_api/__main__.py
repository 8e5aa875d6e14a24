"""Composition root of the query API: settings -> PostgreSQL, Redis, Kafka -> application -> server."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from ingest_gateway.contract import EventLimits
from query_api.app import create_app
from query_api.background import Reporter, running
from query_api.circuit import Circuit
from query_api.exports.export_metrics import ExportMetrics
from query_api.exports.export_service import ExportService
from query_api.exports.export_store import ExportStore
from query_api.health import Health
from query_api.kafka_lag import KafkaLog
from query_api.lag_metrics import LagCollector
from query_api.lag_monitor import Clocks, LagMonitor
from query_api.page_cache import CachePolicy, PageCache
from query_api.postgres_pools import connections, export_sessions
from query_api.postgres_reader import ROLE, PostgresReader, ReaderMemory
from query_api.receipts.record_lookup import RecordLookup
from query_api.receipts.service import Receipts
from query_api.receipts.store import PostgresReceipts
from query_api.recent_lists import RecentReader
from query_api.redis_reader import RedisReader, connect
from query_api.routes import Parts
from query_api.scan import ScanPolicy
from query_api.service import QueryService
from query_api.tail.build import build_tails
from query_api.tail.live_event import EventDecoder
from query_api.tail.tails import Tails
from query_api.telemetry import QueryFigures
from stream_app.contract import RedisKeys
from threatlog.access.requirement import NoKeysError, first_keys, kept_current
from threatlog.process.exit_codes import EXIT_CONFIGURATION
from threatlog.process.load_settings import SettingsError, load_settings
from threatlog.process.logs import configure_logs
from threatlog.process.serve import PortTakenError, connection_bounds, listen, run_loop, serve
from threatlog.process.server_access import exposures
from threatlog.process.settings import Settings

# Of the ten seconds of a stop, what closing connections may take after the requests have ended.
_CLOSE_S: Final = 0.5
# What reads for exports at once: their readers take longer than PostgreSQL does.
_EXPORT_CONNECTIONS: Final = 2
log = logging.getLogger("query_api")


def run(settings: Settings) -> int:
    """Serves until SIGTERM and returns the exit code: 0, or 78 when the port cannot be had."""
    configure_logs("query", settings.log.level)
    for exposure in exposures(settings.kafka, settings.postgres, settings.redis):
        log.warning(exposure)
    try:
        listener = listen(settings.query.host, settings.query.port)
    except PortTakenError as error:
        log.error("%s; set query.port or THREATLOG_QUERY_PORT", error)
        return EXIT_CONFIGURATION
    return run_loop(lambda: _serve(settings, listener))


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Clients:
    store: PostgresReader
    redis: RedisReader
    kafka: KafkaLog
    exports: ExportStore
    receipts: PostgresReceipts
    records: RecordLookup

    async def close(self) -> None:
        await self.records.close()
        await self.kafka.close()
        await self.redis.close(_CLOSE_S)
        await asyncio.gather(self.store.close(_CLOSE_S), self.exports.close(_CLOSE_S))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    try:
        keys = await first_keys(settings, "query", settings.query.host)
    except NoKeysError as error:
        log.error("%s", error)
        return EXIT_CONFIGURATION
    clients = await _open_clients(settings)
    topic = settings.kafka.topic
    monitor = LagMonitor(topic, clients.kafka, clients.store, Clocks(_now, time.monotonic))
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    figures = QueryFigures(registry)
    figures.watch(clients.store.pool_sizes, lambda: clients.redis.answers)
    registry.register(LagCollector(topic, settings.kafka.consumer_group, monitor.report))
    health = Health(clients.store, clients.redis, keys)
    started_at = _now()
    process = f"{ROLE}-{socket.gethostname()}-{os.getpid()}-{int(started_at.timestamp())}"
    reporter = Reporter(clients.store, figures, process, started_at)
    try:
        async with running(monitor, reporter, clients.store.learning.ahead), kept_current(keys):
            exports = _exports(settings, clients, monitor, registry, health)
            tails = build_tails(settings, monitor, registry, keys, _now)
            parts = _build(settings, clients, monitor, figures, health, exports, tails)
            app = create_app(parts, registry, keys)

            def stop() -> None:
                health.stop()
                tails.stop()

            await serve(app, listener, stop, bounds=connection_bounds(settings.server))
    finally:
        await clients.close()
    return 0


def _exports(
    settings: Settings, clients: _Clients, monitor: LagMonitor, registry: CollectorRegistry, health: Health
) -> ExportService:
    most = settings.query.max_exports
    return ExportService(
        clients.exports, monitor, ExportMetrics(registry), most, time.monotonic, lambda: health.stopping
    )


async def _open_clients(settings: Settings) -> _Clients:
    timeout_s = settings.query.statement_timeout
    pools = await connections(settings.postgres, timeout_s)
    return _Clients(
        PostgresReader(
            pools,
            settings.kafka.topic,
            ReaderMemory.empty(time.monotonic),
            ScanPolicy(settings.query.search_budget, timeout_s),
            _now,
        ),
        RedisReader(
            connect(settings.redis),
            RedisKeys(settings.redis.key_prefix),
            settings.redis.timeout,
            Circuit(time.monotonic),
        ),
        KafkaLog(settings.kafka, _now),
        ExportStore(await export_sessions(settings.postgres, timeout_s, _EXPORT_CONNECTIONS), settings.kafka.topic),
        PostgresReceipts(pools.queries, settings.kafka.topic),
        RecordLookup(settings.kafka),
    )


def _build(
    settings: Settings,
    clients: _Clients,
    monitor: LagMonitor,
    figures: QueryFigures,
    health: Health,
    exports: ExportService,
    tails: Tails,
) -> Parts:
    cache = settings.cache
    open_ttl_s = min(cache.open_range_ttl, cache.ttl)
    policy = CachePolicy(cache.query_cache_enabled, cache.ttl, open_ttl_s, cache.max_memory_bytes)
    service = QueryService(
        events=clients.store,
        recent_events=RecentReader(clients.redis, clients.store, monitor.partitions, _now),
        cache=PageCache(clients.redis, policy, time.time, figures),
        lag=monitor,
        rows_given=figures.rows_given,
        budget_s=settings.query.search_budget,
    )
    topic = settings.kafka.topic
    decoder = EventDecoder(topic, EventLimits.of(settings.limits.model_dump()))
    receipts = Receipts(clients.receipts, clients.records, clients.store, decoder, monitor, topic)
    return Parts(service, clients.store, monitor, health, figures, settings.query.max_offset, exports, tails, receipts)


def main() -> None:
    """Runs the query API with the settings of the environment."""
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CONFIGURATION)
    sys.exit(run(settings))


if __name__ == "__main__":
    main()
