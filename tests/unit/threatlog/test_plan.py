"""Which ports a run gets, and what its parts are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from threatlog.embedded.errors import PortTakenError
from threatlog.process.load_settings import load_settings
from threatlog.up.plan import Ports, choose_ports, part_environment, server_variables


def chosen(gateway: int = 8080, query: int = 8081, workers: int = 1, taken: frozenset[int] = frozenset()) -> Ports:
    return choose_ports(gateway, query, workers, lambda port: port not in taken, counting(20_000))


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
    ports = choose_ports(20_000, 20_002, 1, lambda _: True, counting(20_000))
    assert {ports.kafka, ports.kafka_controller, ports.postgres, ports.redis, *ports.stream}.isdisjoint(
        {20_000, 20_002}
    )


@pytest.mark.parametrize(("port", "variable"), [(8080, "GATEWAY_PORT"), (8081, "QUERY_PORT")])
def test_a_taken_port_is_named_with_what_to_set(port: int, variable: str) -> None:
    with pytest.raises(PortTakenError, match=f"port {port} is taken by another program; set {variable} to a free one"):
        chosen(taken=frozenset({port}))


def test_one_port_for_both_http_services_is_refused() -> None:
    with pytest.raises(PortTakenError, match="QUERY_PORT"):
        chosen(gateway=18080, query=18080)


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
