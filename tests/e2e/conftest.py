"""Servers of their own for the tests that stop a server, so that no other test notices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Servers, Stack, StackMaker, embedded_servers


@pytest.fixture(scope="session")
def own_servers(server_folder: Path, pytestconfig: pytest.Config) -> Iterator[Servers]:
    """Embedded servers beside the shared ones; containers would come back on other ports."""
    started = embedded_servers(server_folder / "own", durable=not pytestconfig.getoption("--no-fsync"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def own_stack_maker(own_servers: Servers) -> StackMaker:
    """Makes stacks on them."""
    return StackMaker(own_servers, f"own{os.getpid()}")


@pytest.fixture
def own_stack(own_stack_maker: StackMaker) -> Iterator[Stack]:
    """An empty stack whose servers the test may stop; whatever it left broken is mended after it."""
    stack = own_stack_maker.make(4, {})
    yield stack
    own_stack_maker.remove(stack)
