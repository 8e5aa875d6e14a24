"""The proxy does to a connection what each fault says, and counts it."""

from __future__ import annotations

import contextlib
import gc
import random
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.tcp_faults import (
    Applied,
    Bandwidth,
    BlackHole,
    Direction,
    DropReply,
    Latency,
    LimitData,
    Reset,
    Slicer,
    SlowClose,
)
from tests.faults.tcp_proxy import TcpProxy, proxied
from tests.processes import wait_until
from threatlog.embedded.ports import LOOPBACK

pytestmark = pytest.mark.integration
TIMEOUT_S = 10.0


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself, and remembers it."""

    def handle(self) -> None:
        for line in self.rfile:
            assert isinstance(self.server, EchoServer)
            self.server.lines.append(line)
            self.wfile.write(line)


class EchoServer(socketserver.ThreadingTCPServer):
    """On a free port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.lines: list[bytes] = []


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[TcpProxy]:
    with proxied(server.server_address[1], random.Random(7)) as running:
        yield running


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S)


def answer(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.makefile("rb").readline()


def test_without_faults_bytes_pass_in_both_directions(proxy: TcpProxy) -> None:
    with connect(proxy) as client:
        for line in (b"one\n", b"x" * 200_000 + b"\n"):
            assert answer(client, line) == line
    assert not proxy.struck


@pytest.mark.parametrize("direction", Direction)
def test_latency_and_bandwidth_make_an_answer_late(proxy: TcpProxy, direction: Direction) -> None:
    for fault in (Latency(0.3, 0.1), Bandwidth(20.0)):
        proxy.apply(Applied(fault, direction))
        with connect(proxy) as client:
            started = time.monotonic()
            assert answer(client, b"12345\n") == b"12345\n"
            assert time.monotonic() - started >= 0.3
        assert proxy.struck[type(fault).__name__] == 1


def test_a_black_hole_takes_bytes_and_keeps_the_connection(proxy: TcpProxy, server: EchoServer) -> None:
    with connect(proxy) as client:
        proxy.apply(Applied(BlackHole(), Direction.UP))
        client.sendall(b"lost\n")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(10)
        proxy.clear()
        client.settimeout(TIMEOUT_S)
        assert answer(client, b"again\n") == b"again\n"
    assert server.lines == [b"again\n"]


def test_a_reset_ends_the_connection_before_the_server_sees_anything(proxy: TcpProxy, server: EchoServer) -> None:
    proxy.apply(Applied(Reset(), Direction.UP))
    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        answer(client, b"lost\n")
    assert server.lines == []
    assert proxy.struck["Reset"] == 1


def test_a_dropped_reply_is_one_of_a_request_that_was_served(proxy: TcpProxy, server: EchoServer) -> None:
    proxy.apply(Applied(DropReply(b"COMMIT"), Direction.UP))
    with connect(proxy) as client:
        assert answer(client, b"BEGIN\n") == b"BEGIN\n"
        with pytest.raises(ConnectionResetError):
            answer(client, b"COMMIT\n")
    assert server.lines == [b"BEGIN\n", b"COMMIT\n"]
    assert proxy.struck["DropReply"] == 1


def test_slices_arrive_whole_in_the_end(proxy: TcpProxy) -> None:
    proxy.apply(Applied(Slicer(1, 0.001), Direction.DOWN))
    with connect(proxy) as client:
        assert answer(client, b"abcdefgh\n") == b"abcdefgh\n"
    assert proxy.struck["Slicer"] == 1


def test_after_its_limit_a_connection_ends_in_good_order(proxy: TcpProxy) -> None:
    proxy.apply(Applied(LimitData(5), Direction.DOWN))
    with connect(proxy) as client:
        assert answer(client, b"1234567\n") == b"12345"


def test_an_end_is_told_late(proxy: TcpProxy) -> None:
    proxy.apply(Applied(SlowClose(0.3), Direction.UP))
    with connect(proxy) as client:
        answer(client, b"x\n")
        started = time.monotonic()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
        assert time.monotonic() - started >= 0.3
    assert proxy.struck["SlowClose"] == 1


def test_down_refuses_and_resets_and_up_is_on_the_same_port(proxy: TcpProxy) -> None:
    with connect(proxy) as client:
        answer(client, b"x\n")
        proxy.down()
        with pytest.raises(ConnectionResetError):
            client.recv(10)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.up()
    with connect(proxy) as client:
        assert answer(client, b"x\n") == b"x\n"


def test_a_fault_with_a_probability_strikes_about_so_often(proxy: TcpProxy) -> None:
    proxy.apply(Applied(Latency(0.0), Direction.UP, probability=0.3))
    with connect(proxy) as client:
        for _ in range(300):
            answer(client, b"x\n")
    assert 50 < proxy.struck["Latency"] < 130


def test_bytes_that_nobody_takes_hold_no_connection_open_after_the_end(server: EchoServer) -> None:
    with proxied(server.server_address[1], random.Random(1)) as proxy, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(TIMEOUT_S)
        client.connect((LOOPBACK, proxy.port))
        deadline, sent = time.monotonic() + TIMEOUT_S, 0
        while not proxy.unsent_bytes():
            assert time.monotonic() < deadline
            client.sendall(b"x" * 16_383 + b"\n")
            sent += 1
            wait_until(lambda: len(server.lines) == sent, TIMEOUT_S, "a line was served")  # noqa: B023
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: not proxy.links(), TIMEOUT_S, "both directions have ended")
        assert proxy.unsent_bytes()
    assert not proxy.unsent_bytes()


def test_connections_that_come_just_before_the_end_are_ended_too(server: EchoServer) -> None:
    """Those left open would be told of by the suite when they are collected."""
    for _ in range(20):
        ended = threading.Event()
        with proxied(server.server_address[1], random.Random(1)) as proxy:
            flood = threading.Thread(target=_connect_until, args=(proxy.port, ended))
            flood.start()
            time.sleep(0.01)
        ended.set()
        flood.join()
    gc.collect()


def _connect_until(port: int, ended: threading.Event) -> None:
    while not ended.is_set():
        with socket.socket() as client, contextlib.suppress(OSError):
            client.setblocking(False)
            client.connect((LOOPBACK, port))
