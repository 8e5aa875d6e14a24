"""Rules of the HTTP client: kept-alive connections, and every way an answer can fail to come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from loadgen.http_connection import HttpClient, NotConnectedError, parse_url
from tests.processes import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _serve(handler: Handler) -> tuple[asyncio.Server, str]:
    async def close_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(close_after, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def test_a_connection_is_used_again_and_bodies_may_come_in_pieces() -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await _read_request(reader):
            writer.write(b"HTTP/1.1 503 No\r\nRetry-After: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await writer.drain()
            writer.write(b"3\r\ndef\r\n0\r\n\r\n")

    server, url = await _serve(handler)
    async with server:
        client = HttpClient(parse_url(url), 5.0)
        for _ in range(3):
            response = await client.request(REQUEST)
            assert (response.status, response.body, response.retry_after) == (503, b"abcdef", "2")
        client.close()
    assert connections == 1


async def test_a_connection_the_server_ends_is_replaced() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    server, url = await _serve(handler)
    async with server:
        client = HttpClient(parse_url(url), 5.0)
        assert [(await client.request(REQUEST)).body for _ in range(3)] == [b"ok"] * 3
        client.close()


async def test_a_connection_lost_before_the_answer_is_told() -> None:
    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)

    server, url = await _serve(handler)
    async with server:
        with pytest.raises(ConnectionError, match="before the answer"):
            await HttpClient(parse_url(url), 5.0).request(REQUEST)


async def test_no_answer_in_time_is_a_time_out_and_a_late_one_is_never_taken_for_the_next() -> None:
    seen = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while await _read_request(reader):
            seen += 1
            if seen == 1:
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % seen)

    server, url = await _serve(handler)
    async with server:
        client = HttpClient(parse_url(url), 0.2)
        with pytest.raises(TimeoutError):
            await client.request(REQUEST)
        assert (await client.request(REQUEST)).body == b"2"
        client.close()


async def test_what_is_not_http_is_told() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(b"SSH-2.0-OpenSSH_10.0\r\n")
        await writer.drain()

    server, url = await _serve(handler)
    async with server:
        with pytest.raises(ConnectionError, match="not HTTP"):
            await HttpClient(parse_url(url), 5.0).request(REQUEST)


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with pytest.raises(NotConnectedError, match=r"cannot connect to 127\.0\.0\.1:9: "):
        await HttpClient(parse_url("http://127.0.0.1:9"), 5.0).request(REQUEST)


async def test_connections_can_be_opened_ahead() -> None:
    opened = 0

    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.read()

    server, url = await _serve(handler)
    async with server:
        client = HttpClient(parse_url(url), 5.0, in_turn=True)
        await client.open(120)

        async def all_are_open() -> bool:
            return opened == 120

        await eventually(all_are_open, "120 connections are open")
        client.close()
