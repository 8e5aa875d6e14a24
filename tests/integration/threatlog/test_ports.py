"""What is said of a port that cannot be used."""

from __future__ import annotations

import random
import socket

import pytest

from threatlog.embedded.ports import LOOPBACK, fault_of, free_port, is_free

pytestmark = pytest.mark.integration


def test_a_free_port_has_no_fault() -> None:
    assert fault_of(free_port(random.Random())) is None


def test_a_port_that_somebody_listens_on_is_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert fault_of(port) == "is taken by another program"
        assert not is_free(port)


def test_a_port_beyond_the_last_one_does_not_exist() -> None:
    assert fault_of(65_536) == "does not exist"
