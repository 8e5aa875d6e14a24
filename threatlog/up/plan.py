"""Decides on ports and on the environment of each part; plain functions over values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from threatlog.embedded.errors import PortTakenError
from threatlog.embedded.ports import LOOPBACK

DEFAULT_GATEWAY_PORT = 8080
DEFAULT_QUERY_PORT = 8081

# PostgreSQL and Redis keep away from their usual ports, where a system's own may come up at any time.
_PREFERRED = {"kafka": 9092, "kafka_controller": 9093, "postgres": 15432, "redis": 16379}
_FIRST_STREAM_PORT = 8082
_PASSWORDS = ("THREATLOG_POSTGRES_PASSWORD", "THREATLOG_REDIS_PASSWORD")


@dataclass(frozen=True, slots=True)
class Ports:
    """The port of every part on 127.0.0.1; `stream` has one for each worker's metrics."""

    gateway: int
    query: int
    stream: tuple[int, ...]
    kafka: int
    kafka_controller: int
    postgres: int
    redis: int


def choose_ports(
    gateway: int,
    query: int,
    workers: int,
    is_free: Callable[[int], bool],
    free_port: Callable[[set[int]], int],
) -> Ports:
    """The ports of a run.

    `gateway` and `query` are as asked for. The others are the usual ones where these two are the usual ones and they
    are free, else any. `free_port` gets the ports that are chosen already. Raises PortTakenError.
    """
    for port, variable in ((gateway, "GATEWAY_PORT"), (query, "QUERY_PORT")):
        if not is_free(port):
            raise PortTakenError(port, variable)
    if gateway == query:
        raise PortTakenError(query, "QUERY_PORT")
    usual = (gateway, query) == (DEFAULT_GATEWAY_PORT, DEFAULT_QUERY_PORT)
    taken = {gateway, query}

    def choose(preferred: int) -> int:
        port = preferred if usual and preferred not in taken and is_free(preferred) else free_port(taken)
        taken.add(port)
        return port

    servers = {name: choose(preferred) for name, preferred in _PREFERRED.items()}
    stream = tuple(choose(_FIRST_STREAM_PORT + number) for number in range(workers))
    return Ports(gateway=gateway, query=query, stream=stream, **servers)


def server_variables(ports: Ports) -> dict[str, str]:
    """The settings with which any part reaches the embedded servers; they overrule config.yaml."""
    return {
        "THREATLOG_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{ports.kafka}",
        "THREATLOG_KAFKA_REPLICATION_FACTOR": "1",
        "THREATLOG_KAFKA_MIN_INSYNC_REPLICAS": "1",
        "THREATLOG_POSTGRES_HOST": LOOPBACK,
        "THREATLOG_POSTGRES_PORT": str(ports.postgres),
        "THREATLOG_POSTGRES_DATABASE": "threatlog",
        "THREATLOG_POSTGRES_USER": "threatlog",
        "THREATLOG_REDIS_HOST": LOOPBACK,
        "THREATLOG_REDIS_PORT": str(ports.redis),
        "THREATLOG_REDIS_DATABASE": "0",
        # They trust 127.0.0.1; Redis refuses a password where none is set.
        **dict.fromkeys(_PASSWORDS, ""),
        "THREATLOG_SERVER_PORT": str(ports.gateway),
        "THREATLOG_QUERY_PORT": str(ports.query),
        "THREATLOG_STREAM_METRICS_PORT": str(ports.stream[0]),
    }


def part_environment(inherited: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: what we were given, under `variables`, without files of passwords."""
    files = {f"{name}_FILE" for name in _PASSWORDS}
    return {**{name: value for name, value in inherited.items() if name not in files}, **variables}
