"""uvicorn's HTTP protocol with what it lacks: bounds on headers, and its own errors as problem documents.

uvicorn 0.54 waits for ever for the headers of a request, accepts any amount of them, and answers what it cannot parse
in plain text.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from threatlog.process.problems import CONTENT_TYPE, Problem

MAX_HEADER_BYTES: Final = 64 * 1024
HEADER_TIMEOUT_S: Final = 10.0


class ProblemHttpProtocol(HttpToolsProtocol):
    """One connection."""

    header_timeout_s = HEADER_TIMEOUT_S
    _header_bytes = 0
    _in_headers = False
    _header_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that never says anything is closed like an idle one."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline with the connection."""
        self._headers_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, and watches headers that do not come in one piece."""
        super().data_received(data)
        if not self._in_headers or self.transport.is_closing():
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(Problem(431, "headers_too_large", f"request line and headers exceed {MAX_HEADER_BYTES} bytes"))
        elif self._header_deadline is None:
            self._header_deadline = self.loop.call_later(self.header_timeout_s, self._headers_late)

    def on_message_begin(self) -> None:
        """A request's first bytes are here."""
        self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The headers are whole: their bounds no longer matter."""
        self._headers_done()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are not HTTP."""
        self._refuse(Problem(400, "bad_request", msg))

    def _headers_done(self) -> None:
        self._in_headers = False
        self._header_bytes = 0
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _headers_late(self) -> None:
        self._header_deadline = None
        self._refuse(Problem(408, "request_timeout", f"the headers did not arrive within {self.header_timeout_s:g} s"))

    def _refuse(self, problem: Problem) -> None:
        self._headers_done()
        if self.cycle is not None and not self.cycle.response_complete:
            # An earlier request of this connection is being answered; no second answer may be mixed into it.
            self.transport.close()
            return
        body = problem.body()
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {CONTENT_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
