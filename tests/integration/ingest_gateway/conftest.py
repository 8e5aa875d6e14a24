"""A healthy gateway, and one whose Kafka is frozen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.ingest_gateway.gateway_process import Gateway, start_gateway
from tests.processes import Spawner
from tests.servers import Stack


@pytest.fixture
def gateway(stack: Stack, spawn: Spawner) -> Gateway:
    """A gateway that is healthy."""
    started = start_gateway(stack, spawn)
    started.process.wait_http(f"{started.url}/health")
    return started


@pytest.fixture
def frozen_kafka(gateway: Gateway) -> Iterator[Gateway]:
    """The gateway after Kafka was stopped with SIGSTOP; it goes on after the test."""
    gateway.stack.servers.kafka.freeze()
    yield gateway
    gateway.stack.servers.kafka.thaw()
