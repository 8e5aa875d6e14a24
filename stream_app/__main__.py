"""The stream application's process: settings -> clients -> pipeline -> Faust worker."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from ingest_gateway.contract import EventLimits
from stream_app.aiokafka_group import KafkaLog, wait_for_kafka
from stream_app.chunks import BufferedEvents
from stream_app.consumer_view import view_of
from stream_app.contract import RedisKeys
from stream_app.fail_points import FailingMirror, FailingStore, FailPoint, fail_point_of
from stream_app.figures import StreamFigures
from stream_app.filters_if_wanted import joining, making
from stream_app.near_events import NearEvents
from stream_app.outcomes import ConfigurationFaultError, LogUnavailableError
from stream_app.owners_upkeep import OwnersUpkeep
from stream_app.partitions import DayPartitions
from stream_app.pipeline import Pipeline
from stream_app.pipeline_parts import Parts, Policy
from stream_app.positions import Positions
from stream_app.postgres_store import PostgresStore
from stream_app.redis_mirror import RedisMirror, connect
from stream_app.retention_watch import RetentionWatch
from stream_app.retry import Backoff
from stream_app.short_lives import ShortLives
from stream_app.silent_processes import SilentProcesses
from stream_app.snapshot import PostgresSnapshots
from stream_app.status_server import Refusal, Status, serve_status
from stream_app.upkeep import Identity, Keeping, Upkeep
from stream_app.watchdog import Vitals, Watchdog, watch
from stream_app.workers import run_workers
from threatlog.access.authentication import Gate
from threatlog.access.caller import Scope
from threatlog.access.key_watch import KeyWatch
from threatlog.access.requirement import NoKeysError, first_keys, watch_in_thread
from threatlog.process.exit_codes import EXIT_BUG, EXIT_CONFIGURATION, EXIT_OK, EXIT_TRY_LATER
from threatlog.process.load_settings import SettingsError, load_settings
from threatlog.process.logs import configure_logs
from threatlog.process.server_access import exposures

if TYPE_CHECKING:
    from stream_app.faust_app import StreamApp
    from threatlog.process.settings import Settings

log = logging.getLogger(__name__)
# From SIGTERM to the end, whatever hangs; the promise is ten seconds.
STOP_WITHIN_S = 8.5
SAY_WITHIN_S = 0.5


def run(settings: Settings) -> int:
    """Runs `ingestion.worker_count` workers until they are told to stop. Returns the exit code."""
    if settings.ingestion.worker_count > 1:
        return run_workers(settings)
    return run_worker(settings)


def run_worker(settings: Settings) -> int:
    """Runs one worker in this process."""
    configure_logs("stream", settings.log.level)
    for exposure in exposures(settings.kafka, settings.postgres, settings.redis):
        log.warning(exposure)
    # Until Faust listens there is nothing under way.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(EXIT_OK))
    # Faust reads it while it is imported.
    os.environ.setdefault("F_LOOP", "uvloop")
    from stream_app.faust_app import run_app

    host, port = settings.stream.metrics_host, settings.stream.metrics_port
    try:
        keys = asyncio.run(first_keys(settings, "stream", host))
    except NoKeysError as error:
        log.error("%s", error)
        return EXIT_CONFIGURATION
    try:
        worker = _build(settings, fail_point_of(os.environ))
    except ConfigurationFaultError as error:
        log.error("%s", error)
        return EXIT_CONFIGURATION
    _calm_garbage_collector()
    try:
        serve_status(host, port, Status(worker.registry, worker.ready_checks, _refusal(keys)))
    except OSError as error:
        log.error("stream.metrics_port cannot be used", extra={"port": port, "why": str(error)})
        return EXIT_CONFIGURATION
    asyncio.run(wait_for_kafka(settings.kafka, Backoff(), random.Random()))  # noqa: S311 - jitter
    watch(Watchdog(settings.stream.stall_timeout, time.monotonic()), worker.vitals, worker.end_stuck)
    try:
        run_app(worker.app)
    except Exception as error:
        log.critical("the worker ends", exc_info=error)
        return exit_code_of(error)
    return EXIT_TRY_LATER if worker.pipeline.left_unfinished else EXIT_OK


def _refusal(keys: KeyWatch | None) -> Refusal | None:
    """Who may not see the metrics; None where nobody needs a key."""
    if keys is None:
        return None
    watch_in_thread(keys)
    gate = Gate(keys)
    return lambda authorization, address: gate.refusal(authorization, address, frozenset({Scope.METRICS}))


def exit_code_of(error: BaseException) -> int:
    """The code that says whether starting anew helps: later (75), once a setting is mended (78), never (70)."""
    if isinstance(error, ConfigurationFaultError):
        return EXIT_CONFIGURATION
    return EXIT_TRY_LATER if isinstance(error, LogUnavailableError) else EXIT_BUG


@dataclass(slots=True)
class _Worker:
    """The parts of one worker that its threads look at."""

    app: StreamApp
    pipeline: Pipeline
    positions: Positions
    upkeep: Upkeep
    registry: CollectorRegistry
    stop_is_armed: bool = False

    def vitals(self) -> Vitals:
        stored = self.pipeline.stored_offsets
        ends = self.positions.ends()
        return Vitals(
            in_group=self.app.in_group,
            progress=sum(dict(stored).values()),
            behind=any(stored.get(n, 0) < end for n, end in ends.items() if not self.pipeline.is_stopped(n)),
            store_answers=self.upkeep.store_answers,
            loop_ticks=self.upkeep.ticks,
        )

    def ready_checks(self) -> dict[str, bool]:
        return {"consumer_group": self.app.in_group, "postgres": self.upkeep.store_answers}

    def end_stuck(self, reason: str) -> None:
        _say_in_time(logging.CRITICAL, f"this worker stands still and ends, to be started anew: {reason}")
        os._exit(EXIT_TRY_LATER)

    def arm_stop(self) -> None:
        """Bounds the stop from now on; called by the signal, and by Faust where it stops by itself."""

        def end() -> None:
            _say_in_time(logging.ERROR, "stopping took too long; what is not acknowledged will be delivered again")
            os._exit(EXIT_TRY_LATER if self.pipeline.left_unfinished else EXIT_OK)

        if self.stop_is_armed:
            return
        self.stop_is_armed = True
        timer = threading.Timer(STOP_WITHIN_S, end)
        timer.daemon = True
        timer.start()


def _calm_garbage_collector() -> None:
    """A window is tens of thousands of objects without cycles; collecting at every 700th cost a third of the worker."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000_000, 20, 100)


def _say_in_time(level: int, words: str) -> None:
    """A last line before the process ends; a stuck thread may hold the lock of the log, so only for a while."""
    saying = threading.Thread(target=log.log, args=(level, words), daemon=True)
    saying.start()
    saying.join(SAY_WITHIN_S)


def _fail(error: Exception) -> None:
    """Our bug, or a topic that cannot be right: nothing is acknowledged, so nothing is lost by ending at once."""
    log.critical("the worker ends", exc_info=error)
    os._exit(exit_code_of(error))


def _now() -> datetime:
    return datetime.now(UTC)


def _policy(settings: Settings) -> Policy:
    ingestion, limits = settings.ingestion, EventLimits.of(settings.limits.model_dump())
    return Policy(
        settings.kafka.topic,
        ingestion.batch_size,
        ingestion.batch_timeout,
        limits,
        dead_letter_limit=ingestion.dead_letter_limit,
        word_filters=making(settings.storage.word_filters),
    )


def _mirror(
    settings: Settings, source: PostgresSnapshots, figures: StreamFigures, fail_point: FailPoint | None
) -> RedisMirror:
    keys = RedisKeys(settings.redis.key_prefix)
    if fail_point is not None:
        return FailingMirror(fail_point, settings.redis, keys, source, figures)
    return RedisMirror(connect(settings.redis), keys, source, time.time, figures)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def _days(settings: Settings, store: PostgresStore) -> DayPartitions:
    return DayPartitions(store, settings.storage.partition_days_back, settings.storage.partition_days_ahead, _now)


def _keeping(
    settings: Settings, name: str, mirror: RedisMirror, near_events: NearEvents, figures: StreamFigures
) -> Keeping:
    store, slow_store = (PostgresStore(settings.postgres, settings.kafka.topic, name) for _ in range(2))
    retention_days = settings.storage.retention_days
    return Keeping(
        store,
        slow_store,
        mirror,
        _days(settings, store),
        _days(settings, slow_store),
        OwnersUpkeep(slow_store, retention_days, _now),
        RetentionWatch(store, mirror, figures, retention_days, _now),
        SilentProcesses(slow_store),
        near_events,
        figures,
        joining(settings.storage.word_filters, store, _now),
    )


def _build(settings: Settings, fail_point: FailPoint | None) -> _Worker:
    from stream_app.faust_app import build_app

    topic = settings.kafka.topic
    name = f"stream-{socket.gethostname()}-{os.getpid()}"
    identity = Identity(f"{name}-{int(time.time())}", name, _now())
    buffered = BufferedEvents()
    window_store, mirror_store = (PostgresStore(settings.postgres, topic, name) for _ in range(2))
    if fail_point is not None:
        window_store = FailingStore(fail_point, settings.postgres, topic, name)
    window_days = _days(settings, window_store)
    registry = _registry()
    figures = StreamFigures(registry, time.time, window_days.allowed, window_days.put_off)
    snapshots = PostgresSnapshots(mirror_store, topic)
    mirror = _mirror(settings, snapshots, figures, fail_point)
    kafka = KafkaLog(topic)
    lives = ShortLives(window_store, topic, identity.process, buffered, figures)
    pipeline = Pipeline(
        _policy(settings),
        Parts(window_store, window_days, mirror, kafka, lives, figures, buffered),
        random.Random(),  # noqa: S311 - jitter
        _fail,
    )
    app = build_app(settings, pipeline, buffered, name)
    kafka.app = app
    positions = Positions(lambda: view_of(app.consumer), topic)
    near_events = NearEvents(snapshots, mirror, _now)
    keeping = _keeping(settings, name, mirror, near_events, figures)
    upkeep = Upkeep(
        identity, keeping, positions, pipeline.alignment, lambda: pipeline.stored_offsets, lambda: buffered.count
    )
    worker = _Worker(app, pipeline, positions, upkeep, registry)
    app.upkeep = upkeep
    app.on_stopping = worker.arm_stop
    return worker


def main() -> None:
    """Runs with the settings of the environment."""
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    sys.exit(run(settings))


if __name__ == "__main__":
    main()
