"""The head of an answer says what the server does with the connection, and the server does it."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.test_http_protocol import exchange, served
from threatlog.process.http_metrics import AsgiApp, Receive, Scope, Send
from threatlog.process.http_server_state import ConnectionBounds

pytestmark = pytest.mark.integration
PATIENT = ConnectionBounds(linger_s=20.0)


async def crash(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answers nothing."""
    raise RuntimeError("a bug")


async def split(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Tries to add a header of its own by the value of another one."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-name", b"a\r\nset-cookie: b")]})


async def with_its_own_policy(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers with another policy and another caching than all answers have."""
    own = [
        (b"content-security-policy", b"default-src 'self'"),
        (b"cache-control", b"no-cache"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": own})
    await send({"type": "http.response.body"})


async def test_what_an_answer_says_itself_takes_the_place_of_what_every_answer_says() -> None:
    """Of two policies a browser would obey both."""
    async with served(keep_alive_s=1, by=with_its_own_policy) as server:
        answer = await exchange(server, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    lines = answer.lower().split(b"\r\n")
    for name, value in ((b"content-security-policy", b"default-src 'self'"), (b"cache-control", b"no-cache")):
        assert [line for line in lines if line.startswith(name)] == [name + b": " + value]


async def test_after_an_early_answer_to_who_asked_to_close_the_rest_is_still_taken_for_a_while() -> None:
    """Closed at once, the connection would be reset under a sender who still writes, and the answer with it."""
    async with served(PATIENT) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /early HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000000000\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        for _ in range(20):
            writer.write(b"x" * 1024)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert len(server.state.connections) == 1
        writer.close()

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"connection: close\r\n") == 1


@pytest.mark.parametrize("app", [crash, split])
async def test_an_application_that_fails_is_500_and_the_connection_is_closed(app: AsgiApp) -> None:
    async with served(keep_alive_s=60, by=app) as server:
        answer = await exchange(server, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.count(b"connection: close\r\n") == 1
    assert b"set-cookie" not in answer


@pytest.mark.parametrize("end", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
async def test_an_answer_says_close_where_the_sender_asked_for_it_and_only_there(end: bytes) -> None:
    async with served(keep_alive_s=1) as server:
        answer = await exchange(server, b"GET / HTTP/1.1\r\nhost: x\r\n" + end + b"\r\n")

    assert answer.count(b"connection: close\r\n") == bool(end)
