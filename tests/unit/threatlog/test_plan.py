"""Which ports a run gets, and what its parts are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from threatlog.__main__ import _with_ports
from threatlog.embedded.errors import PortUnusableError, ServerError
from threatlog.process.load_settings import load_settings
from threatlog.process.settings import Ingestion, Query, Server, Settings, Stream
from threatlog.up.plan import Ports, addresses, choose_ports, part_environment, server_variables
from threatlog.up.run import batch_of

TAKEN = "is taken by another program"


def settings_with(gateway: int = 8080, query: int = 8081, stream: int = 8082, workers: int = 1) -> Settings:
    return Settings(
        server=Server(port=gateway),
        query=Query(port=query),
        stream=Stream(metrics_port=stream),
        ingestion=Ingestion(worker_count=workers),
    )


def chosen(
    gateway: int = 8080,
    query: int = 8081,
    stream: int = 8082,
    workers: int = 1,
    taken: frozenset[int] = frozenset(),
    fault: str = TAKEN,
) -> Ports:
    settings = settings_with(gateway, query, stream, workers)
    return choose_ports(settings, lambda port: fault if port in taken else None, counting(20_000))


def counting(start: int) -> Callable[[set[int]], int]:
    def free_port(avoid: set[int]) -> int:
        return next(port for port in range(start, start + 1000) if port not in avoid)

    return free_port


def test_the_usual_ports_are_used_beside_the_usual_gateway_port() -> None:
    assert chosen(workers=2) == Ports(8080, 8081, (8082, 8083), 9092, 9093, 15432, 16379)


def test_a_usual_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    assert chosen(taken=frozenset({9092, 8082})).kafka == 20_000
    assert chosen(taken=frozenset({8082})).stream == (20_000,)


def test_beside_another_copy_every_other_port_is_chosen_free() -> None:
    ports = chosen(gateway=18080, query=18081)
    others = {*ports.stream, ports.kafka, ports.kafka_controller, ports.postgres, ports.redis}
    assert others == set(range(20_000, 20_005))


def test_a_port_asked_for_is_never_given_to_another_part() -> None:
    ports = chosen(gateway=20_000, query=20_002)
    assert {ports.kafka, ports.kafka_controller, ports.postgres, ports.redis, *ports.stream}.isdisjoint(
        {20_000, 20_002}
    )


def test_a_metrics_port_of_ones_own_is_used_and_counted_on() -> None:
    assert chosen(stream=9500, workers=2).stream == (9500, 9501)
    assert chosen(gateway=18080, query=18081, stream=9500).stream == (9500,)


@pytest.mark.parametrize(
    ("port", "variable"), [(8080, "GATEWAY_PORT"), (8081, "QUERY_PORT"), (9501, "THREATLOG_STREAM_METRICS_PORT")]
)
@pytest.mark.parametrize("fault", [TAKEN, "may not be used by this user"])
def test_a_port_that_cannot_be_used_is_named_with_why_and_what_to_set(port: int, variable: str, fault: str) -> None:
    with pytest.raises(PortUnusableError, match=f"^port {port} {fault}; set {variable} to a free one$"):
        chosen(stream=9500, workers=2, taken=frozenset({port}), fault=fault)


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        ((18080, 18080, 8082), "GATEWAY_PORT and QUERY_PORT both mean port 18080"),
        ((18080, 9501, 9500), "QUERY_PORT and THREATLOG_STREAM_METRICS_PORT both mean port 9501"),
    ],
)
def test_one_port_given_twice_is_told_as_such(ports: tuple[int, int, int], told: str) -> None:
    with pytest.raises(ServerError, match=told):
        chosen(*ports, workers=2)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:18080"),
        ("localhost", "http://localhost:18080"),
        ("192.0.2.7", "http://192.0.2.7:18080"),
        ("::", "http://[::1]:18080"),
        ("fd00::7", "http://[fd00::7]:18080"),
    ],
)
def test_a_part_is_reached_where_it_listens(host: str, url: str) -> None:
    ports = Ports(18080, 18081, (20_001,), 20_002, 20_003, 20_004, 20_005)
    at = addresses(ports, Settings(server=Server(host=host)))
    assert (at.gateway, at.query, at.stream) == (url, "http://127.0.0.1:18081", "http://127.0.0.1:20001")


def test_every_variable_for_the_parts_is_a_setting_and_arrives() -> None:
    ports = Ports(18080, 18081, (20_001,), 20_002, 20_003, 20_004, 20_005)
    settings = load_settings({**server_variables(ports), "THREATLOG_CONFIG": "/dev/null"})
    assert settings.kafka.bootstrap_servers == "127.0.0.1:20002"
    assert (settings.server.port, settings.query.port, settings.stream.metrics_port) == (18080, 18081, 20_001)
    assert (settings.postgres.port, settings.redis.port) == (20_004, 20_005)


def test_passwords_for_other_servers_are_not_passed_on() -> None:
    variables = server_variables(Ports(1, 2, (3,), 4, 5, 6, 7))
    inherited = {"THREATLOG_REDIS_PASSWORD_FILE": "/run/secret", "THREATLOG_POSTGRES_PASSWORD": "secret", "HOME": "/h"}
    environment = part_environment(inherited, variables)
    assert "THREATLOG_REDIS_PASSWORD_FILE" not in environment
    assert environment["THREATLOG_POSTGRES_PASSWORD"] == ""
    assert environment["HOME"] == "/h"


@pytest.mark.parametrize(("rps", "batch"), [(1, 1), (500, 1), (1000, 10), (20_000, 200), (1e6, 5000)])
def test_a_high_rate_of_sample_events_is_sent_in_batches(rps: float, batch: int) -> None:
    assert batch_of(rps) == batch


def test_ports_of_the_command_line_overrule_the_settings_and_only_they() -> None:
    settings = settings_with(gateway=9000, query=9001)
    assert _with_ports(settings, None, None) == settings
    overruled = _with_ports(settings, 18080, None)
    assert (overruled.server.port, overruled.query.port) == (18080, 9001)
