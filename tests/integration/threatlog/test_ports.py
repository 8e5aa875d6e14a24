"""What is said of a port that cannot be used."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from tests.servers import Servers, started_on_free_ports
from threatlog.embedded import RedisServer
from threatlog.embedded.ports import LOOPBACK, fault_of, free_port, is_free

pytestmark = pytest.mark.integration


def _free(count: int) -> tuple[int, ...]:
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(random.Random(), avoid=ports))
    return tuple(ports)


def test_a_free_port_has_no_fault() -> None:
    assert fault_of(free_port(random.Random())) is None


def test_a_port_that_somebody_listens_on_is_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert fault_of(port) == "is taken by another program"
        assert not is_free(port)


def test_a_port_beyond_the_last_one_does_not_exist() -> None:
    assert fault_of(65_536) == "does not exist"


def test_the_servers_of_the_suite_take_other_ports_where_one_was_taken_meanwhile(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        chosen = [_free(3), (other.getsockname()[1], *_free(2))]

        def make() -> Servers:
            first, second, third = (RedisServer(tmp_path / str(port), port) for port in chosen.pop())
            return Servers(first, second, third)

        started = started_on_free_ports(make)
        assert all(server.running for server in started.all)
        started.end()
