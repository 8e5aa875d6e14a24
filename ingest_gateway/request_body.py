"""Receives the body of one request within a deadline, a size, and a bound on the bytes of all requests together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from threatlog.process.http_metrics import Receive
from threatlog.process.problems import Problem

# A body may begin slowly: a sender that waits for its own input, a connection that has yet to find its speed.
_GRACE_S: Final = 5.0


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


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a body may measure as it is sent, how long it may take in all, and how fast it must come at least."""

    max_bytes: int
    timeout_s: float
    min_bytes_per_s: float

    def seconds_for(self, size: int) -> float:
        """How long a body may take of which so much has come."""
        return min(self.timeout_s, _GRACE_S + size / self.min_bytes_per_s)


async def receive_body(receive: Receive, content_length: bytes | None, limits: BodyLimits, held: HeldBytes) -> bytes:
    """The whole body as sent. Raises Problem 400, 408, 413, 503, and SenderGoneError."""
    max_bytes = limits.max_bytes
    if content_length is not None and content_length.isdigit() and int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(limits.seconds_for(0)) as deadline:
            message = await receive()
            body: bytes = message.get("body", b"")
            held.grow(len(body))
            if message.get("more_body"):
                body = await _receive_rest(receive, body, limits, held, deadline)
            elif message["type"] == "http.disconnect":
                raise SenderGoneError
    except TimeoutError:
        detail = (
            f"the body did not arrive within {limits.timeout_s:g} s, or with less than {limits.min_bytes_per_s:g}"
            f" bytes a second after its first {_GRACE_S:g} s"
        )
        raise Problem(408, "request_timeout", detail) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if not body:
        raise Problem(400, "missing_body", "the request has no body; JSON is needed")
    return body


async def _receive_rest(
    receive: Receive, first: bytes, limits: BodyLimits, held: HeldBytes, deadline: asyncio.Timeout
) -> bytes:
    pieces, size, more = [first], len(first), True
    before = deadline.when()
    assert before is not None
    began_s = before - limits.seconds_for(0)
    while more:
        deadline.reschedule(began_s + limits.seconds_for(size))
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        held.grow(len(piece))
        pieces.append(piece)
        size += len(piece)
        if size > limits.max_bytes:
            raise _too_large(limits.max_bytes)
    return b"".join(pieces)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"the body has over {max_bytes} bytes as sent, the most allowed")
