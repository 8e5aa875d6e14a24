"""Fixtures of the tests on whole processes: servers that demand TLS."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guarded.servers import Guarded, guarded_servers
from tests.servers import Servers, Stack, StackMaker
from threatlog.process.load_settings import load_settings


@pytest.fixture(scope="module")
def guarded(servers: Servers, server_folder: Path) -> Iterator[Guarded]:
    """A Kafka, a PostgreSQL and a Redis that let only clients with a certificate and a password in."""
    folder = Path(tempfile.mkdtemp(prefix="guarded-", dir=server_folder))
    folder.chmod(0o711)
    with guarded_servers(folder, servers.redis) as made:
        yield made


@pytest.fixture(scope="module")
def guarded_stack(guarded: Guarded) -> Iterator[Stack]:
    """A topic and a database on them, with the settings of a client that is let in."""
    maker = StackMaker(guarded.servers, "guarded")
    made = maker.make(2, {})
    environment = {**made.environment, **guarded.variables()}
    settings = load_settings({**environment, "THREATLOG_CONFIG": os.devnull})
    yield replace(made, environment=environment, settings=settings)
    maker.remove(made)
