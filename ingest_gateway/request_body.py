"""Receives the body of one request within a deadline and a size."""

from __future__ import annotations

import asyncio

from threatlog.process.http_metrics import Receive
from threatlog.process.problems import Problem


class SenderGoneError(Exception):
    """The sender closed the connection before its request was whole; there is nobody to answer."""


async def receive_body(receive: Receive, content_length: bytes | None, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body as sent. Raises Problem 400, 408, 413, and SenderGoneError."""
    if content_length is not None and content_length.isdigit() and int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                body = await _receive_rest(receive, body, max_bytes)
            elif message["type"] == "http.disconnect":
                raise SenderGoneError
    except TimeoutError:
        raise Problem(408, "request_timeout", f"the body did not arrive within {timeout_s:g} s") from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if not body:
        raise Problem(400, "missing_body", "the request has no body; JSON is needed")
    return body


async def _receive_rest(receive: Receive, first: bytes, max_bytes: int) -> bytes:
    pieces, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(pieces)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"the body has over {max_bytes} bytes as sent, the most allowed")
