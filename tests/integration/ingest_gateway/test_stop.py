"""How the gateway process stops, with Kafka well and with Kafka frozen."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from tests.integration.ingest_gateway.gateway_process import (
    EVENT,
    IN_FLIGHT,
    Gateway,
    metric,
    start_gateway,
    stop,
)
from tests.processes import Spawner, wait_until
from tests.servers import Stack

pytestmark = [pytest.mark.integration, pytest.mark.no_database]


def test_sigterm_ends_it_with_0(gateway: Gateway) -> None:
    assert gateway.single()[0] == 201
    code, took_s = stop(gateway)

    assert code == 0
    assert took_s < 10


def test_sigterm_ends_it_within_ten_seconds_with_0_while_kafka_is_frozen(frozen_kafka: Gateway) -> None:
    with ThreadPoolExecutor(1) as sender:
        answer = sender.submit(frozen_kafka.single)
        wait_until(lambda: metric(frozen_kafka, "threatlog_kafka_unacked_bytes") > 0, 5, "an event waits")
        code, took_s = stop(frozen_kafka)

        assert (code, answer.result()[0]) == (0, 503)
        assert took_s < 10


def test_a_request_that_the_stop_cuts_off_gets_a_problem_and_the_end_is_still_in_time(
    stack: Stack, spawn: Spawner
) -> None:
    gateway = start_gateway(stack, spawn, THREATLOG_SERVER_READ_TIMEOUT="60s")
    gateway.process.wait_http(f"{gateway.url}/health")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as connection:
        # As much of the body as lets it take its time.
        head = b"POST /api/v1/logs/ingest HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
        connection.sendall(head + b"{" * 50_000)
        wait_until(lambda: metric(gateway, IN_FLIGHT) >= 2, 5, "it began")
        code, took_s = stop(gateway)
        answer = connection.recv(65536)

    assert (code, took_s < 10) == (0, True)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"stopping"' in answer


def test_requests_that_had_begun_are_answered_after_sigterm(gateway: Gateway) -> None:
    body = orjson.dumps(EVENT)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        head = f"POST /api/v1/logs/ingest HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:10])
        wait_until(lambda: metric(gateway, IN_FLIGHT) >= 2, 5, "it began")
        gateway.process.child.request_stop(signal.SIGTERM)
        wait_until(lambda: '"stopping"' in gateway.process.log_text(), 5, "it is stopping")
        connection.sendall(body[10:])

        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"connection: close" in answer
    assert gateway.process.wait_exit(10) == 0
