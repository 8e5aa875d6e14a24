"""What the server itself does with connections, on real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import orjson
import pytest
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest

from threatlog.process.http_metrics import AsgiApp, HttpMetrics, Receive, Scope, Send
from threatlog.process.http_protocol import ProblemHttpProtocol
from threatlog.process.http_server_state import ConnectionBounds, HttpServerState
from threatlog.process.security_headers import SECURITY_HEADERS
from threatlog.process.serve import listen

pytestmark = pytest.mark.integration
HASTY = ConnectionBounds(header_timeout_s=0.3, linger_s=0.3, write_timeout_s=0.3)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body, `/early` without reading it, `/large` with more than any buffer takes."""
    status, body = 200, b""
    if scope["path"] == "/early":
        status = 404
    elif scope["path"] == "/large":
        body = bytes(32 << 20)
    else:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    port: int
    state: HttpServerState
    registry: CollectorRegistry

    def counted(self) -> list[str]:
        """The counters of requests."""
        lines = generate_latest(self.registry).decode().splitlines()
        return [line for line in lines if line.startswith("threatlog_http_requests_total")]


@asynccontextmanager
async def served(bounds: ConnectionBounds = HASTY, keep_alive_s: int = 30, by: AsgiApp = echo) -> AsyncIterator[Served]:
    registry = CollectorRegistry()
    app = HttpMetrics(by, registry, "test")
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, http=ProblemHttpProtocol, ws="none", lifespan="off", log_config=None)
    config.timeout_keep_alive, config.headers = keep_alive_s, list(SECURITY_HEADERS.items())
    server = uvicorn.Server(config)
    server.server_state = state = HttpServerState(bounds, app.count_refused)
    port: int = listener.getsockname()[1]
    running = asyncio.ensure_future(server._serve(sockets=[listener]))
    try:
        yield Served(port, state, registry)
    finally:
        server.should_exit = server.force_exit = True
        await running


async def exchange(server: Served, *pieces: bytes) -> bytes:
    """Sends the pieces one after the other and reads until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it is so."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def problem_of(answer: bytes, status: int) -> str:
    """The code of the one answer that came, held to `status` and a close."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert b"application/problem+json" in head
    code: str = orjson.loads(body)["code"]
    return code


async def test_headers_that_do_not_come_to_an_end_are_408_and_the_connection_is_closed() -> None:
    async with served() as server:
        answer = await exchange(server, b"GET / HTTP/1.1\r\nho", b"st: x\r\n")

    assert problem_of(answer, 408) == "request_timeout"


async def test_headers_in_several_pieces_are_taken_in_time() -> None:
    async with served() as server:
        answer = await exchange(server, b"GET / HTTP/1.1\r\nho", b"st: x\r\n", b"connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_second_request_of_a_connection_has_the_same_deadline() -> None:
    async with served() as server:
        answer = await exchange(server, GET, b"GET / HTTP/1.1\r\nho")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize("pieces", [(), (b"\r\n",)], ids=["nothing", "an empty line"])
async def test_a_connection_without_a_request_is_closed(pieces: Iterable[bytes]) -> None:
    async with served(keep_alive_s=0) as server:
        assert await exchange(server, *pieces) == b""


async def test_empty_lines_do_not_lengthen_the_idle_time() -> None:
    async with served(keep_alive_s=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        def closed_after_one_more() -> bool:
            with suppress(RuntimeError):  # uvloop's, for a handle that is closed
                writer.write(b"\r\n")
            return reader.at_eof() or reader.exception() is not None

        await until(closed_after_one_more)
        writer.close()


@pytest.mark.parametrize("split", [False, True], ids=["together", "in two segments"])
@pytest.mark.parametrize(
    ("framing", "sent"),
    [(b"content-length: 3", b"abc"), (b"transfer-encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"), (b"x: y", b"")],
    ids=["length", "chunked", "no body"],
)
async def test_a_request_with_an_offer_of_an_upgrade_is_served_as_if_without(
    framing: bytes, sent: bytes, *, split: bool, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /a?b HTTP/1.1\r\nhost: x\r\n" + UPGRADE + framing + b"\r\n\r\n"
    with caplog.at_level(logging.WARNING):
        async with served() as server:
            answer = await exchange(server, *((head, sent) if split else (head + sent,)), head + sent + LAST)

    body = b"abc" if sent else b""
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.count(b"\r\n\r\n" + body) >= 2
    assert answer.count(b"content-length: %d\r\n" % len(body)) >= 2
    assert caplog.records == []


@pytest.mark.parametrize(
    "framing", [b"content-length: 1000000000", b"transfer-encoding: chunked"], ids=["length", "chunked"]
)
async def test_after_an_early_answer_the_rest_is_not_taken_for_ever(framing: bytes) -> None:
    async with served() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /early HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)

        async def go_on() -> None:
            while True:
                writer.write(b"1\r\na\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(go_on(), 10)
        await until(lambda: not server.state.connections)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer


async def test_trailers_without_end_are_431() -> None:
    async with served() as server:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        answer = await exchange(server, head, *[b"x: %s\r\n" % (b"y" * 10_000)] * 5)

    assert problem_of(answer, 431) == "headers_too_large"


async def test_trailers_are_left_out() -> None:
    async with served() as server:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n"
        answer = await exchange(server, head, LAST)

    assert answer.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("request_", [b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n", LAST.replace(b"/ ", b"/large ")])
async def test_a_reader_who_does_not_read_is_left(request_: bytes) -> None:
    async with served() as server:
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(request_)
        await until(lambda: bool(server.state.connections))
        await until(lambda: not server.state.connections)
        writer.close()


async def test_one_connection_too_many_is_503_and_the_others_go_on() -> None:
    async with served(ConnectionBounds(max_connections=1)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        refused = await exchange(server)
        writer.write(LAST)

        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert problem_of(refused, 503) == "too_many_connections"
        assert b"retry-after: 1" in refused


@pytest.mark.parametrize(
    "rest",
    [b"transfer-encoding: gzip\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"],
    ids=["unknown encoding", "bad chunk"],
)
async def test_a_malformed_body_is_400_and_counted_so(rest: bytes) -> None:
    async with served() as server:
        answer = await exchange(server, b"POST / HTTP/1.1\r\nhost: x\r\n" + rest)
        counted = server.counted()

    assert problem_of(answer, 400) == "bad_request"
    assert len(counted) == 1
    assert 'code="400",method="POST"' in counted[0]


async def test_a_fault_in_a_second_request_is_told_after_the_first_answer() -> None:
    async with served() as server:
        answer = await exchange(server, GET + b"no such thing\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert problem_of(answer[answer.index(b"HTTP/1.1 400") :], 400) == "bad_request"


@pytest.mark.parametrize("pieces", [1, 5])
async def test_too_many_header_bytes_are_431(pieces: int) -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)) + b"\r\n"
    size = len(head) // pieces + 1
    async with served() as server:
        answer = await exchange(server, *(head[at : at + size] for at in range(0, len(head), size)))
        counted = server.counted()

    assert problem_of(answer, 431) == "headers_too_large"
    assert 'code="431",method="other",route="unmatched"' in counted[0]


async def test_the_bytes_of_a_body_are_not_counted_as_headers() -> None:
    body = bytes(200_000)
    async with served() as server:
        first = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        answer = await exchange(server, first, body + first[:20], first[20:] + body + LAST[:20], LAST[20:])

    assert answer.count(b"HTTP/1.1 200 ") == 3


async def test_a_request_needs_a_host_from_http_1_1_on() -> None:
    async with served() as server:
        assert problem_of(await exchange(server, b"GET / HTTP/1.1\r\n\r\n"), 400) == "bad_request"
        assert (await exchange(server, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_connect_is_refused() -> None:
    async with served() as server:
        assert problem_of(await exchange(server, b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n"), 400) == "bad_request"


async def test_while_stopping_every_answer_closes_its_connection() -> None:
    async with served() as server:
        server.state.stopping = True
        answer = await exchange(server, GET)

    assert b"connection: close" in answer
