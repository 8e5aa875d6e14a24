"""Composition root of the gateway: settings -> Kafka -> application -> server."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import sys
import time

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from ingest_gateway.accounts_report import AccountsReport
from ingest_gateway.app import create_app
from ingest_gateway.contract import EventLimits
from ingest_gateway.group_publisher import GroupPublisher, PublisherPolicy
from ingest_gateway.health import Readiness
from ingest_gateway.ingest import IngestLimits, IngestParts
from ingest_gateway.kafka_publisher import MAX_BATCH_BYTES, KafkaConnection
from ingest_gateway.metrics import GatewayMetrics
from ingest_gateway.postgres_figures import PostgresFigures
from ingest_gateway.producer_accounts import ProducerAccounts
from ingest_gateway.quotas import RequestPolicy, Requests
from ingest_gateway.request_body import BodyLimits, RequestBytes
from threatlog.access.caller import Quota
from threatlog.access.requirement import NoKeysError, first_keys, kept_current, keys_required
from threatlog.process.exit_codes import EXIT_CONFIGURATION
from threatlog.process.load_settings import SettingsError, load_settings
from threatlog.process.logs import configure_logs
from threatlog.process.serve import PortTakenError, connection_bounds, listen, run_loop, serve
from threatlog.process.server_access import exposures
from threatlog.process.settings import Settings

# The publisher's share of the ten seconds of a stop; ending a stuck producer by force takes up to a second more.
FLUSH_S = 1.0
log = logging.getLogger("ingest_gateway")


def run(settings: Settings) -> int:
    """Serves until SIGTERM and returns the exit code: 0, or 78 when the port cannot be had."""
    configure_logs("gateway", settings.log.level)
    asked = (settings.postgres,) if keys_required(settings, settings.server.host) else ()
    for exposure in exposures(settings.kafka, *asked):
        log.warning(exposure)
    try:
        listener = listen(settings.server.host, settings.server.port)
    except PortTakenError as error:
        log.error("%s; set server.port or THREATLOG_SERVER_PORT", error)
        return EXIT_CONFIGURATION
    return run_loop(lambda: _serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    try:
        keys = await first_keys(settings, "gateway", settings.server.host)
    except NoKeysError as error:
        log.error("%s", error)
        return EXIT_CONFIGURATION
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    metrics = GatewayMetrics(registry)
    publisher = GroupPublisher(
        lambda: KafkaConnection.open(settings.kafka),
        PublisherPolicy(
            deadline_s=settings.server.write_timeout,
            max_unacknowledged_bytes=settings.limits.max_unacknowledged_bytes,
            max_batch_bytes=MAX_BATCH_BYTES,
        ),
        metrics,
    )
    metrics.watch_publisher(lambda: publisher.unacknowledged_bytes, lambda: publisher.state().connected)
    readiness = Readiness()
    request_bytes = RequestBytes(settings.limits.max_request_bytes_in_flight)
    metrics.watch_requests(lambda: request_bytes.in_flight)
    accounts = ProducerAccounts()
    requests = Requests(request_policy(settings), time.monotonic, accounts)
    parts = IngestParts(publisher, metrics, ingest_limits(settings), request_bytes, requests)
    figures = PostgresFigures(settings.postgres, f"{socket.gethostname()}:{settings.server.port}")
    report = None if keys is None else AccountsReport(accounts, figures)
    app = create_app(parts, settings, registry, readiness, keys, report)
    # What was made so far lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        async with kept_current(keys), report.kept() if report is not None else contextlib.nullcontext():
            await serve(app, listener, readiness.stop, bounds=connection_bounds(settings.server))
    finally:
        await publisher.close(FLUSH_S)
        await figures.close()
    return 0


def ingest_limits(settings: Settings) -> IngestLimits:
    """The limits of the endpoints from the settings."""
    limits = settings.limits
    server = settings.server
    return IngestLimits(
        event=EventLimits.of(limits.model_dump()),
        body=BodyLimits(limits.max_body_bytes, server.read_timeout, server.min_body_rate),
        max_decompressed_bytes=limits.max_decompressed_bytes,
        max_batch_events=limits.max_batch_events,
    )


def request_policy(settings: Settings) -> RequestPolicy:
    """How many requests at once, and the quota of keys that have none of their own."""
    limits = settings.limits
    quota = Quota(limits.key_events_per_second or None, limits.key_bytes_per_second or None)
    return RequestPolicy(limits.max_concurrent_requests, limits.key_concurrent_requests, quota)


def main() -> None:
    """Runs the gateway with the settings of the environment."""
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CONFIGURATION)
    sys.exit(run(settings))


if __name__ == "__main__":
    main()
