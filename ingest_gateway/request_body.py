"""Receives the body of one request within a deadline, a size, and a bound on the bytes of all requests together."""

from __future__ import annotations

import asyncio
from types import TracebackType

from threatlog.process.http_metrics import Receive
from threatlog.process.problems import Problem


class SenderGoneError(Exception):
    """The sender closed the connection before its request was whole; there is nobody to answer."""


class RequestBytes:
    """The bytes that all requests hold at this moment: bodies that are not decoded yet, and errors not sent yet."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.in_flight = 0


class HeldBytes:
    """What one request holds of them; a context manager that gives all of it back."""

    __slots__ = ("_all", "_bytes")

    def __init__(self, all_requests: RequestBytes) -> None:
        self._all = all_requests
        self._bytes = 0

    def grow(self, size: int) -> None:
        """Holds `size` bytes more. Raises Problem 503 when all requests together would hold too many."""
        others, total = self._all.in_flight - self._bytes, self._all.in_flight + size
        # A single request larger than the bound must be able to pass when no other holds anything.
        if total > self._all.max_bytes and others:
            raise Problem(
                503,
                "too_many_request_bytes",
                f"other requests hold {others} bytes and all together may hold {self._all.max_bytes}; "
                "nothing of this request was kept",
                extra={"may_be_stored": False},
            )
        self._all.in_flight = total
        self._bytes += size

    def replace(self, size: int) -> None:
        """Holds `size` bytes instead of what it held, without asking: they are there already."""
        self._all.in_flight += size - self._bytes
        self._bytes = size

    def __enter__(self) -> HeldBytes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.replace(0)


async def receive_body(
    receive: Receive, content_length: bytes | None, max_bytes: int, timeout_s: float, held: HeldBytes
) -> bytes:
    """The whole body as sent. Raises Problem 400, 408, 413, 503, and SenderGoneError."""
    if content_length is not None and content_length.isdigit() and int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            body: bytes = message.get("body", b"")
            held.grow(len(body))
            if message.get("more_body"):
                body = await _receive_rest(receive, body, max_bytes, held)
            elif message["type"] == "http.disconnect":
                raise SenderGoneError
    except TimeoutError:
        raise Problem(408, "request_timeout", f"the body did not arrive within {timeout_s:g} s") from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if not body:
        raise Problem(400, "missing_body", "the request has no body; JSON is needed")
    return body


async def _receive_rest(receive: Receive, first: bytes, max_bytes: int, held: HeldBytes) -> bytes:
    pieces, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        held.grow(len(piece))
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(pieces)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"the body has over {max_bytes} bytes as sent, the most allowed")
