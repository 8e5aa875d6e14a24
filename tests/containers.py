"""The same three servers as Docker containers, through testcontainers, where a Docker engine answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from tests.servers import REDIS_DATABASES, Servers
from threatlog.embedded import KafkaNode
from threatlog.embedded.ports import free_port
from threatlog.embedded.probes import kafka_answers, postgres_answers, redis_answers

_KAFKA_IMAGE = "apache/kafka:4.4.0"
_POSTGRES_IMAGE = "postgres:18"
_REDIS_IMAGE = "redis:8"
_POLL_INTERVAL_S = 0.1


@cache
def docker_answers() -> bool:
    """Whether a Docker engine can be used from here."""
    import docker  # type: ignore[import-untyped]

    try:
        client = docker.from_env()
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


class ContainerServer:
    """One server in a container; its data lives as long as the container, so through `stop`, `kill` and `start`."""

    def __init__(self, name: str, port: int, container: Any, answers: Callable[[int], bool]) -> None:
        self.name = name
        self.port = port
        self._container = container
        self._answers = answers
        self._created = False

    @property
    def _docker(self) -> Any:
        return self._container.get_wrapped_container()

    @property
    def running(self) -> bool:
        """Whether the container runs; a paused one does."""
        if not self._created:
            return False
        self._docker.reload()
        return self._docker.status in {"running", "paused"}

    def start(self) -> None:
        """Creates the container, or starts the one that was stopped."""
        if self._created:
            self._docker.start()
        else:
            self._container.start()
            self._created = True

    def wait_ready(self, timeout_s: float) -> None:
        """Returns when it answers; TimeoutError after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            with suppress(OSError):
                if self._answers(self.port):
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not answer: {self._container.get_logs()}")
            time.sleep(_POLL_INTERVAL_S)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stops what runs in the container, which stays with its data until it is removed."""
        if self._created:
            self.thaw()
            self._docker.stop(timeout=int(timeout_s))

    def remove(self) -> None:
        """Removes the container and its data."""
        if self._created:
            self._container.stop()
            self._created = False

    def freeze(self) -> None:
        """Pauses all of its processes."""
        self._docker.pause()

    def thaw(self) -> None:
        """Lets them go on."""
        self._docker.reload()
        if self._docker.status == "paused":
            self._docker.unpause()

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._docker.kill()


def _kafka_container(port: int, controller: int) -> Any:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(_KAFKA_IMAGE).with_bind_ports(port, port)
    for name, value in KafkaNode(port, controller).values("/var/lib/kafka/data").items():
        container = container.with_env(f"KAFKA_{name.replace('.', '_').upper()}", str(value))
    # Inside, it listens on every address: the engine forwards the port from outside the container.
    listeners = f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:{controller}"
    return container.with_env("KAFKA_LISTENERS", listeners)


def container_servers() -> Servers:
    """The three servers, not created yet, on fixed free ports, so that a restart keeps them."""
    from testcontainers.core.container import DockerContainer

    rng = random.Random()
    ports: list[int] = []
    while len(ports) < 4:
        ports.append(free_port(rng, avoid=ports))
    kafka, controller, postgres, redis = ports
    postgres_container = (
        DockerContainer(_POSTGRES_IMAGE)
        .with_bind_ports(5432, postgres)
        .with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        .with_env("POSTGRES_USER", "threatlog")
        .with_env("POSTGRES_DB", "threatlog")
        .with_command("postgres -c max_connections=200")
    )
    redis_container = (
        DockerContainer(_REDIS_IMAGE)
        .with_bind_ports(6379, redis)
        .with_command(f"redis-server --databases {REDIS_DATABASES} --save ''")
    )
    made = (
        ContainerServer("kafka", kafka, _kafka_container(kafka, controller), kafka_answers),
        ContainerServer(
            "postgres", postgres, postgres_container, lambda port: postgres_answers(port, "threatlog", "threatlog")
        ),
        ContainerServer("redis", redis, redis_container, redis_answers),
    )

    def discard() -> None:
        for server in made:
            server.remove()

    return Servers(*made, discard)
