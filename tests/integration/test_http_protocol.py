"""The server's own bounds on connections, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import uvicorn

from threatlog.process.http_metrics import Receive, Scope, Send
from threatlog.process.http_protocol import ProblemHttpProtocol
from threatlog.process.serve import listen

pytestmark = pytest.mark.integration


class HastyProtocol(ProblemHttpProtocol):
    """Waits a tenth of a second for headers."""

    header_timeout_s = 0.1


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(keep_alive_s: int = 30) -> AsyncIterator[int]:
    """The port of a running server."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        answer_ok, http=HastyProtocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive_s
    )
    server = uvicorn.Server(config)
    port: int = listener.getsockname()[1]
    running = asyncio.ensure_future(server._serve(sockets=[listener]))
    try:
        yield port
    finally:
        server.should_exit = server.force_exit = True
        await running


async def exchange(port: int, *pieces: bytes) -> bytes:
    """Sends the pieces one after the other and reads until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_headers_that_do_not_come_to_an_end_are_408_and_the_connection_is_closed() -> None:
    async with served() as port:
        head, _, body = (await exchange(port, b"GET / HTTP/1.1\r\nho", b"st: x\r\n")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert orjson.loads(body)["code"] == "request_timeout"


async def test_headers_in_several_pieces_are_taken_in_time() -> None:
    async with served() as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nho", b"st: x\r\n", b"connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_second_request_of_a_connection_has_the_same_deadline() -> None:
    async with served() as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HTTP/1.1\r\nho")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


async def test_a_connection_that_never_says_anything_is_closed() -> None:
    async with served(keep_alive_s=0) as port:
        assert await exchange(port) == b""
