"""Requests that two servers in a row could read differently, or that are too long, on real sockets."""

from __future__ import annotations

import pytest

from tests.integration.test_http_protocol import LAST, exchange, problem_of, served

pytestmark = pytest.mark.integration
SMUGGLED = {
    "length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "the same length twice": b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde",
    "a length with a sign": b"content-length: +5\r\n\r\nabcde",
    "a length with a comma": b"content-length: 5, 5\r\n\r\nabcde",
    "chunks twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks not last": b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks with a tail": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"x-a: 1\r\n content-length: 5\r\n\r\nabcde",
    "a NUL in a value": b"x-a: 1\x002\r\n\r\n",
    "a CR in a value": b"x-a: 1\r2\r\n\r\n",
    "a chunk of no size": b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_two_servers_could_read_differently_is_refused_and_the_connection_closed(name: str) -> None:
    """After https://portswigger.net/web-security/request-smuggling and RFC 9112, sections 5.2, 6.1, 6.3 and 11.2."""
    async with served() as server:
        answer = await exchange(server, b"POST / HTTP/1.1\r\nhost: x\r\n" + SMUGGLED[name] + LAST)

    assert problem_of(answer, 400) == "bad_request"
    assert b"HTTP/1.1 200" not in answer


@pytest.mark.parametrize("size", [9_000, 100_000])
async def test_a_target_that_is_too_long_is_414(size: int) -> None:
    async with served() as server:
        answer = await exchange(server, b"GET /?" + b"q" * size + b" HTTP/1.1\r\nhost: x\r\n\r\n")

    assert problem_of(answer, 414) == "target_too_long"
