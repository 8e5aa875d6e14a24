"""Real servers and services for one benchmark, in a temporary folder, with their CPU time."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from threatlog.embedded import KafkaNode, KafkaServer, PostgresServer, RedisServer
from threatlog.embedded.child import ChildProcess, Launch
from threatlog.embedded.ports import LOOPBACK, free_port

READY_TIMEOUT_S = 60.0
SERVICE_PORTS = {
    "gateway": "THREATLOG_SERVER_PORT",
    "query": "THREATLOG_QUERY_PORT",
    "stream": "THREATLOG_STREAM_METRICS_PORT",
}


class BenchStack:
    """Three servers, and the services that a benchmark starts on them."""

    def __init__(self, folder: Path, partitions: int) -> None:
        self._folder = folder
        rng = random.Random()
        ports: list[int] = []
        while len(ports) < 7:
            ports.append(free_port(rng, avoid=ports))
        self.kafka = KafkaServer(folder / "kafka", KafkaNode(ports[0], ports[1]))
        self.postgres = PostgresServer(folder / "postgres", ports[2])
        self.redis = RedisServer(folder / "redis", ports[3])
        self.service_ports = dict(zip(SERVICE_PORTS, ports[4:], strict=True))
        self.topic = "bench.events"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("THREATLOG_")} | {
            "THREATLOG_CONFIG": os.devnull,
            "THREATLOG_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{ports[0]}",
            "THREATLOG_KAFKA_TOPIC": self.topic,
            "THREATLOG_KAFKA_PARTITIONS": str(partitions),
            "THREATLOG_POSTGRES_PORT": str(ports[2]),
            "THREATLOG_REDIS_PORT": str(ports[3]),
            **{SERVICE_PORTS[name]: str(port) for name, port in self.service_ports.items()},
        }
        self._services: list[ChildProcess] = []

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self.kafka.address

    @property
    def dsn(self) -> str:
        """PostgreSQL's address for asyncpg."""
        return f"postgresql://threatlog@{self.postgres.address}/threatlog"

    def url(self, service: str) -> str:
        """Base address of a service."""
        return f"http://{LOOPBACK}:{self.service_ports[service]}"

    def start_servers(self) -> None:
        """Starts the three servers and makes tables and topic."""
        for server in (self.kafka, self.postgres, self.redis):
            server.start()
        for server in (self.kafka, self.postgres, self.redis):
            server.wait_ready(READY_TIMEOUT_S)
        for command in ("migrate", "topics"):
            subprocess.run(
                [sys.executable, "-m", "threatlog", command],
                env=self.environment,
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=120,
            )

    def start(self, service: str, variables: Mapping[str, str] | None = None, *, ready: bool = True) -> ChildProcess:
        """Starts gateway, stream or query; returns when it is ready, unless told not to wait."""
        log = self._folder / f"{service}-{len(self._services)}.log"
        command = (sys.executable, "-m", "threatlog", service)
        child = ChildProcess(Launch(command, log, environment={**self.environment, **(variables or {})}))
        self._services.append(child)
        if ready:
            self._wait_ready(service, child)
        return child

    def _wait_ready(self, service: str, child: ChildProcess) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if not child.running:
                raise RuntimeError(f"{service} ended with {child.exit_code}:\n{child.log_tail(30)}")
            try:
                with urllib.request.urlopen(f"{self.url(service)}/readyz", timeout=2):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        raise RuntimeError(f"{service} was not ready in {READY_TIMEOUT_S} s:\n{child.log_tail(30)}")

    def stop(self) -> None:
        """Stops services, then servers."""
        for child in reversed(self._services):
            child.stop(10.0)
        for server in (self.redis, self.postgres, self.kafka):
            server.stop()

    def loadgen(self, *arguments: str) -> Path:
        """Runs `loadgen run` against this stack and returns its JSON; raises when it ends with another code than 0."""
        result, command = self._loadgen(*arguments)
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            raise RuntimeError(f"loadgen ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return result

    @contextmanager
    def under_load(self, *arguments: str) -> Iterator[Path]:
        """The same until the end of the block, where it is stopped and verifies; then the JSON is there."""
        result, command = self._loadgen(*arguments, "--duration", "0")
        log = self._folder / "load.log"
        with log.open("wb") as output:
            loading = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
        try:
            yield result
            if loading.poll() is None:
                loading.terminate()
            if loading.wait(600) != 0:
                raise RuntimeError(f"loadgen ended with {loading.returncode}:\n{log.read_text()[-3000:]}")
        finally:
            loading.kill()
            loading.wait()

    def _loadgen(self, *arguments: str) -> tuple[Path, list[str]]:
        result = self._folder / f"loadgen-{time.monotonic_ns()}.json"
        command = [sys.executable, "-m", "loadgen", "run", "--json", str(result), *arguments]
        return result, [*command, "--gateway-url", self.url("gateway"), "--query-url", self.url("query")]


@contextmanager
def bench_stack(partitions: int) -> Iterator[BenchStack]:
    """A started stack that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="threatlog-bench-"))
    folder.chmod(0o711)
    stack = BenchStack(folder, partitions)
    try:
        stack.start_servers()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def cpu_s(*pids: int) -> float:
    """CPU seconds that these processes have used, user and system, as the operating system counts them."""
    total = 0.0
    for pid in pids:
        times = psutil.Process(pid).cpu_times()
        total += times.user + times.system
    return total


def on_core_ms(*pids: int) -> float:
    """The same in milliseconds, as the scheduler counts it: to the microsecond, so also of one short answer."""
    total_ns = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            # A thread may have ended.
            with suppress(OSError):
                total_ns += int(task.read_text(encoding="ascii").split()[0])
    return total_ns / 1e6
