"""Decides on ports and on the environment of each part; plain functions over values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from threatlog.embedded.errors import PortUnusableError, ServerError
from threatlog.embedded.ports import LOOPBACK
from threatlog.process.settings import Settings

# PostgreSQL and Redis keep away from their usual ports, where a system's own may come up at any time.
_PREFERRED = {"kafka": 9092, "kafka_controller": 9093, "postgres": 15432, "redis": 16379}
_PASSWORDS = ("THREATLOG_KAFKA_PASSWORD", "THREATLOG_POSTGRES_PASSWORD", "THREATLOG_REDIS_PASSWORD")
_FILES = tuple(
    f"THREATLOG_{server}_TLS_{file}"
    for server in ("KAFKA", "POSTGRES", "REDIS")
    for file in ("CA", "CERTIFICATE", "KEY")
)


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


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URL of each part as a client on this machine reaches it."""

    gateway: str
    query: str
    stream: str


def choose_ports(
    settings: Settings, fault_of: Callable[[int], str | None], free_port: Callable[[set[int]], int]
) -> Ports:
    """The ports of a run.

    Those of the gateway and the query API are as the settings say, and so is a stream.metrics_port of one's own. The
    others are the usual ones where these two are the usual ones and they are free, else any. `fault_of` says why a port
    cannot be used, `free_port` gets the ports that are chosen already. Raises ServerError, PortUnusableError.
    """
    gateway, query, first_stream = settings.server.port, settings.query.port, settings.stream.metrics_port
    asked: dict[str, tuple[int, ...]] = {"GATEWAY_PORT": (gateway,), "QUERY_PORT": (query,)}
    stream = tuple(range(first_stream, first_stream + settings.ingestion.worker_count))
    own_stream = first_stream != Settings().stream.metrics_port
    if own_stream:
        asked["THREATLOG_STREAM_METRICS_PORT"] = stream
    taken = _checked(asked, fault_of)
    usual = (gateway, query) == (Settings().server.port, Settings().query.port)

    def choose(preferred: int) -> int:
        free = usual and preferred not in taken and fault_of(preferred) is None
        port = preferred if free else free_port(set(taken))
        taken[port] = ""
        return port

    servers = {name: choose(preferred) for name, preferred in _PREFERRED.items()}
    if not own_stream:
        stream = tuple(choose(port) for port in stream)
    return Ports(gateway=gateway, query=query, stream=stream, **servers)


def _checked(asked: Mapping[str, tuple[int, ...]], fault_of: Callable[[int], str | None]) -> dict[int, str]:
    """Who asked for each port."""
    taken: dict[int, str] = {}
    for variable, ports in asked.items():
        for port in ports:
            if port in taken:
                raise ServerError(f"{taken[port]} and {variable} both mean port {port}; set one of them to another")
            if (fault := fault_of(port)) is not None:
                raise PortUnusableError(port, fault, variable)
            taken[port] = variable
    return taken


def reached_host(host: str) -> str:
    """The host by which a client here reaches what listens on `host`."""
    return {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def addresses(ports: Ports, settings: Settings) -> Addresses:
    """Where each part of a run is."""

    def url(host: str, port: int) -> str:
        reached = reached_host(host)
        return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"

    return Addresses(
        gateway=url(settings.server.host, ports.gateway),
        query=url(settings.query.host, ports.query),
        stream=url(settings.stream.metrics_host, ports.stream[0]),
    )


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
        # They trust 127.0.0.1, and nobody else reaches them; Redis refuses a password where none is set.
        "THREATLOG_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "THREATLOG_KAFKA_USERNAME": "",
        "THREATLOG_POSTGRES_TLS": "disable",
        "THREATLOG_REDIS_TLS": "false",
        "THREATLOG_REDIS_USERNAME": "",
        **dict.fromkeys((*_PASSWORDS, *_FILES), ""),
        "THREATLOG_SERVER_PORT": str(ports.gateway),
        "THREATLOG_QUERY_PORT": str(ports.query),
        "THREATLOG_STREAM_METRICS_PORT": str(ports.stream[0]),
    }


def part_environment(inherited: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: what we were given, under `variables`, without files of passwords."""
    files = {f"{name}_FILE" for name in _PASSWORDS}
    return {**{name: value for name, value in inherited.items() if name not in files}, **variables}
