"""uvicorn's HTTP protocol with what it lacks: bounds on headers, and its own errors as problem documents.

uvicorn 0.54 waits for ever for headers, accepts any amount of them, and answers what it cannot parse in plain text or
not at all. With httptools 0.9 it drops the body of a request that offers an upgrade (Kludex/uvicorn#2722), which Java's
HttpClient does by default.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from threatlog.process.http_ending import Cycle, EndingProtocol
from threatlog.process.problems import Problem

MAX_HEADER_BYTES: Final = 32 * 1024
# Of them the target may have; every query of ours has less than a kilobyte.
MAX_TARGET_BYTES: Final = 8 * 1024
# What a header has besides its name and value: ": " and CRLF.
_HEADER_EXTRA_BYTES: Final = 4


class ProblemHttpProtocol(EndingProtocol):
    """One connection, as far as it reads."""

    _in_headers = False
    # Bytes of whole reads since a callback last showed progress: inside one head, around a body's pieces, or between.
    _idle_bytes = 0
    _read_bytes = 0
    # Bytes of the read in which the head began, which may hold other things before it.
    _first_read_bytes = 0
    _fault: Problem | None = None
    _header_deadline: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline with the connection."""
        self._headers_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, and watches what shows no progress."""
        if self._deaf:
            return
        self._read_bytes = len(data)
        self._idle_bytes += self._read_bytes
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._decline_upgrade(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError:
            self._stop_at(self._fault or Problem(400, "bad_request", "this is no valid HTTP request"))
            return
        if self._in_headers or self._idle_bytes > MAX_HEADER_BYTES:
            self._watch_headers()

    def _decline_upgrade(self, rest: memoryview) -> None:
        """Serves a request as if it offered no upgrade.

        httptools 0.9 takes every byte after the head of such a request for the other protocol's, so a new parser gets
        the head without the offer.
        """
        while True:
            head = [
                b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            ]
            for name, value in self.headers:
                tokens = value.split(b",") if name == b"connection" else [value]
                if name != b"upgrade":
                    kept = b",".join(token for token in tokens if token.strip().lower() != b"upgrade")
                    head.append(b"%s: %s\r\n" % (name, kept))
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(b"".join([*head, b"\r\n"]))
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
            else:
                return

    def on_message_begin(self) -> None:
        """A request's first bytes are here: they end the idle time, as empty lines do not."""
        self._unset_keepalive_if_required()
        self._in_headers = True
        self._idle_bytes = 0
        self._first_read_bytes = self._read_bytes
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header; a trailer is left out."""
        if not self._in_headers:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The headers are whole: what they say is checked, and the request begins or waits for its turn."""
        version = self.parser.get_http_version()
        if self._exceeds_bound():
            raise self._faulty(self._too_large())
        if len(self.url) > MAX_TARGET_BYTES:
            raise self._faulty(_target_too_long())
        for name, _ in self.headers:
            if name == b"host":
                break
        else:
            if version != "1.0":
                raise self._faulty(Problem(400, "bad_request", "the request needs a Host header (RFC 9112, 3.2)"))
        method: bytes = self.parser.get_method()
        if self.parser.should_upgrade():
            if method == b"CONNECT":
                raise self._faulty(Problem(400, "bad_request", "this is no proxy"))
            return  # `data_received` gets to know of it, and comes here again
        target = httptools.parse_url(self.url)
        raw_path = target.path or b"/"
        path = raw_path.decode("ascii")
        scope = self.scope
        scope["method"] = method.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = target.query or b""
        if version != "1.1":
            scope["http_version"] = version
        self._headers_done()
        self._begin(version != "1.0" and self.parser.should_keep_alive() and not self._shared.stopping)

    def _begin(self, keep_alive: bool) -> None:
        cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=[],  # `Cycle` writes them
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.of_every_answer = self._shared.lines_for(self.scope["path"])
        self.cycle = cycle
        if self._active is None or self._active.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._idle_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._in_headers or self.cycle.response_complete:
            return  # the former is an offer of an upgrade, whose head is fed again
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def _watch_headers(self) -> None:
        if self._idle_bytes > MAX_HEADER_BYTES or (self._in_headers and self._exceeds_bound()):
            self._stop_at(self._too_large())
        elif self._header_deadline is None:
            self._header_deadline = self.loop.call_later(self._bounds.header_timeout_s, self._headers_late)

    def _exceeds_bound(self) -> bool:
        """Whether the head so far has too many bytes. They are counted only when its reads hold so many."""
        if self._idle_bytes + self._first_read_bytes <= MAX_HEADER_BYTES:
            return False
        counted = sum(len(name) + len(value) + _HEADER_EXTRA_BYTES for name, value in self.headers)
        return len(self.url) + counted > MAX_HEADER_BYTES

    def _too_large(self) -> Problem:
        return _target_too_long() if len(self.url) > MAX_TARGET_BYTES else _headers_too_large()

    def _headers_done(self) -> None:
        self._in_headers = False
        self._idle_bytes = 0
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _headers_late(self) -> None:
        self._header_deadline = None
        detail = f"the headers did not arrive within {self._bounds.header_timeout_s:g} s"
        self._stop_at(Problem(408, "request_timeout", detail))

    def _faulty(self, problem: Problem) -> Problem:
        """Notes the fault: httptools raises another error for the one that a callback raises."""
        self._fault = problem
        return problem

    def _stop_at(self, problem: Problem) -> None:
        of_next = self._in_headers
        self._headers_done()
        self._refuse(problem, of_next=of_next)


def _headers_too_large() -> Problem:
    return Problem(431, "headers_too_large", f"request line and headers, or trailers, exceed {MAX_HEADER_BYTES} bytes")


def _target_too_long() -> Problem:
    return Problem(414, "target_too_long", f"the request's target has over {MAX_TARGET_BYTES} bytes, the most allowed")
