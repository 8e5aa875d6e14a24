"""`threatlog up` and `threatlog demo`: everything on one machine, from the first server to the last stop."""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, cast

from rich.console import Console

from threatlog.embedded import KafkaNode, KafkaServer, PostgresServer, RedisServer, ServerError
from threatlog.embedded.child import ChildProcess
from threatlog.embedded.errors import in_words
from threatlog.embedded.kafka_jars import KAFKA_VERSION, kafka_is_cached
from threatlog.embedded.ports import fault_of, free_port
from threatlog.process.postgres_roles import LOGINS
from threatlog.process.settings import Settings
from threatlog.up.data_folder import DataFolder, open_data_folder
from threatlog.up.opening import opening
from threatlog.up.plan import (
    Addresses,
    Ports,
    addresses,
    choose_ports,
    part_environment,
    reached_host,
    server_variables,
)
from threatlog.up.progress import Outlet, Progress
from threatlog.up.service import Portless, Sender, Service, python_launch
from threatlog.up.stopping import StopRequest, StopRequestedError
from threatlog.up.supervisor import Supervisor, ending

EXIT_FAILED = 1

# The first start downloads Kafka and makes the data folders; that is preparing, which has no limit.
_SERVERS_READY_S = 90.0
_SERVICES_READY_S = 60.0
_STEP_TIMEOUT_S = 90.0
_SENDER_RUN_S = 3600

# Senders first, then what they fill; together within ten seconds, killing included.
_STOP_ORDER = (
    (("loadgen",), 1.0),
    (("gateway",), 2.0),
    (("stream", "query", "maintain"), 3.0),
    (("redis", "postgres", "kafka"), 3.5),
)
# More than that in single requests is more than one sender here makes; then a hundred requests a second carry them.
_MOST_SINGLE_RPS = 500
_BATCHES_PER_S = 100
_LARGEST_BATCH = 5000


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line says. `demo_rps` above 0 sends that many sample events per second."""

    data_dir: Path
    config: Path | None = None
    demo_rps: float = 0.0


def run_up(options: UpOptions, settings: Settings) -> int:
    """Runs everything until Ctrl-C, SIGTERM or SIGHUP. Returns the exit code: 0 after that, 1 where it cannot start."""
    stop = StopRequest()
    stop.listen()
    progress = Progress(Console(file=cast(TextIO, Outlet(sys.stdout)), highlight=False))
    try:
        folder = open_data_folder(options.data_dir)
        try:
            return _run(options, settings, folder, stop, progress)
        finally:
            folder.close()
    except ServerError as error:
        fault = str(error)
    except OSError as error:
        fault = in_words(error)
    # Rich would bend long lines; the message is one line, and the end of a log may follow.
    Outlet(sys.stderr).write(f"threatlog: {fault}\n")
    return EXIT_FAILED


def _run(options: UpOptions, settings: Settings, folder: DataFolder, stop: StopRequest, progress: Progress) -> int:
    rng = random.Random()  # noqa: S311 - a port is no secret
    ports = choose_ports(settings, fault_of, lambda taken: free_port(rng, avoid=taken))
    at = addresses(ports, settings)
    variables = server_variables(ports)
    if options.config is not None:
        variables["THREATLOG_CONFIG"] = str(options.config.absolute())
    folder.write_ports({**asdict(ports), "pid": os.getpid()})
    environment_file = folder.write_environment(variables)
    environment = part_environment(os.environ, variables)
    supervisor = Supervisor(progress, stop, time.monotonic)
    try:
        _start_servers(supervisor, folder, ports, progress)
        _run_step("migrate", folder, environment, stop, progress)
        _run_step("topics", folder, environment, stop, progress)
        _start_services(supervisor, settings, folder, ports, environment, progress)
        progress.text(opening(at, folder.path, environment_file, datetime.now(UTC)))
        if options.demo_rps > 0:
            supervisor.start([_sender(options.demo_rps, folder, at, environment)], _SERVICES_READY_S)
            progress.step(f"sending {options.demo_rps:g} sample events per second")
        supervisor.watch()
    except StopRequestedError:
        return 0
    finally:
        _stop(supervisor, progress)
    return 0


def _start_servers(supervisor: Supervisor, folder: DataFolder, ports: Ports, progress: Progress) -> None:
    data = folder.path
    kafka = KafkaServer(data / "kafka", KafkaNode(ports.kafka, ports.kafka_controller), log_path=folder.log("kafka"))
    postgres = PostgresServer(data / "postgres", ports.postgres, log_path=folder.log("postgres"))
    redis = RedisServer(data / "redis", ports.redis, log_path=folder.log("redis"))
    if not kafka_is_cached():
        progress.step(f"downloading Apache Kafka {KAFKA_VERSION} (45 MB), the first time on this machine")
    progress.step(f"starting Kafka on {kafka.address}, PostgreSQL on {postgres.address}, Redis on {redis.address}")
    with progress.waiting("waiting for Kafka, PostgreSQL and Redis"):
        supervisor.start([kafka, postgres, redis], _SERVERS_READY_S)


def _run_step(
    command: str, folder: DataFolder, environment: Mapping[str, str], stop: StopRequest, progress: Progress
) -> None:
    """Runs one `threatlog` command to its end. Raises ServerError with the end of its output where it fails."""
    log_path = folder.log(command)
    with progress.waiting(f"threatlog {command}"):
        child = ChildProcess(python_launch(sys.executable, ("threatlog", command), log_path, environment))
        deadline = time.monotonic() + _STEP_TIMEOUT_S
        try:
            while child.running and time.monotonic() < deadline:
                stop.sleep(0.05)
        finally:
            code = child.stop(1.0)
    tail = child.log_tail()
    if code != 0:
        raise ServerError(f"threatlog {command} failed ({ending(code)}); its log ({log_path}) ends with:\n{tail}")
    progress.good(f"threatlog {command}: {tail.splitlines()[-1] if tail else 'done'}")


def _start_services(
    supervisor: Supervisor,
    settings: Settings,
    folder: DataFolder,
    ports: Ports,
    environment: Mapping[str, str],
    progress: Progress,
) -> None:
    def service(name: str, command: str, port: int, host: str, variable: str, **changed: str) -> Service:
        own = {**environment, "THREATLOG_POSTGRES_USER": LOGINS[command][0], **changed}
        launch = python_launch(sys.executable, ("threatlog", command), folder.log(name), own)
        return Service(name, launch, reached_host(host), port, variable)

    streams = [
        service(
            "stream" if len(ports.stream) == 1 else f"stream-{number}",
            "stream",
            port,
            settings.stream.metrics_host,
            "THREATLOG_STREAM_METRICS_PORT",
            THREATLOG_STREAM_METRICS_PORT=str(port),
            # Each worker is a part of its own, watched by us.
            THREATLOG_INGESTION_WORKER_COUNT="1",
        )
        for number, port in enumerate(ports.stream, 1)
    ]
    services = [
        service("gateway", "gateway", ports.gateway, settings.server.host, "GATEWAY_PORT"),
        *streams,
        service("query", "query", ports.query, settings.query.host, "QUERY_PORT"),
        _maintain(folder, environment),
    ]
    progress.step(f"starting the gateway, the stream application (workers: {len(streams)}) and the query API")
    with progress.waiting("waiting for the services"):
        supervisor.start(services, _SERVICES_READY_S)


def _maintain(folder: DataFolder, environment: Mapping[str, str]) -> Portless:
    """As the owner of the tables."""
    launch = python_launch(sys.executable, ("threatlog", "maintain"), folder.log("maintain"), environment)
    return Portless("maintain", launch)


def _sender(rps: float, folder: DataFolder, at: Addresses, environment: Mapping[str, str]) -> Sender:
    """Runs of an hour, one after the other: what a run remembers of its events stays small."""
    options = {
        "--target": "http",
        "--rps": f"{rps:g}",
        "--batch": str(batch_of(rps)),
        "--duration": f"{_SENDER_RUN_S}s",
        "--concurrency": "20",
        "--sources": "shared",
        "--gateway-url": at.gateway,
        "--query-url": at.query,
    }
    words = (word for name, value in options.items() for word in (name, value))
    module = ("loadgen", "run", *words, "--no-verify", "--no-freshness")
    return Sender("loadgen", python_launch(sys.executable, module, folder.log("loadgen"), environment))


def batch_of(rps: float) -> int:
    """The events of one request at this rate."""
    return 1 if rps <= _MOST_SINGLE_RPS else min(math.ceil(rps / _BATCHES_PER_S), _LARGEST_BATCH)


def _stop(supervisor: Supervisor, progress: Progress) -> None:
    if not supervisor.any_running:
        return
    start = time.monotonic()
    with progress.waiting("stopping"):
        supervisor.stop(_STOP_ORDER)
    progress.step(f"stopped in {time.monotonic() - start:.1f} s")
