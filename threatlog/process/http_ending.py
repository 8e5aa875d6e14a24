"""How a connection of uvicorn's ends: after an answer that came early, for a fault, and for a reader who does not read.

uvicorn 0.54 closes at once, which resets the connection while the sender still writes and so can take the answer away,
or waits for ever: for the rest of a body that nobody wants, and for a reader of the last bytes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from threatlog.process.http_head import answer_head, header_lines, without
from threatlog.process.http_metrics import REFUSED_STATUS
from threatlog.process.http_server_state import HttpServerState
from threatlog.process.problems import CONTENT_TYPE, Problem
from threatlog.process.security_headers import SECURITY_HEADERS

MIN_TAKEN_BYTES: Final = 64 * 1024
# Sent by an application instead of the rest of an answer that cannot be whole (ours, not of ASGI): what is written goes
# out, and the connection ends without the end of the answer, so that nobody takes it for complete.
BREAK_OFF: Final[str] = "threatlog.http.response.break_off"
# An answer without an end, of which little may be sent for hours.
_EVENT_STREAM: Final = b"text/event-stream"
_UNACKNOWLEDGED_MS: Final = 30_000
# Of the headers of every answer, those that an answer may have otherwise: both together would mean neither.
REPLACEABLE: Final = frozenset({b"cache-control", b"content-security-policy"})


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    # The answer began before the request had ended: nothing more can be served on the connection.
    answered_early = False
    # Of every answer.
    of_every_answer = b""

    def send(self, message: ASGISendEvent) -> Coroutine[Any, Any, None]:
        """Sends a part of the answer (ASGI)."""
        if message["type"] == BREAK_OFF:
            return self._break_off()
        return super().send(message) if self.response_started else self._begin(message)

    async def _break_off(self) -> None:
        # As if the reader had left: nothing more is sent, and uvicorn has nothing to say about it.
        self.disconnected = True
        self.transport.close()

    async def _begin(self, message: ASGISendEvent) -> None:
        """Writes the head, as uvicorn's own does, but without checking anew what every answer has."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] != "http.response.start":
            raise RuntimeError(f"an answer begins with http.response.start, not {message['type']}")
        status, headers = message["status"], list(message.get("headers", ()))
        own = header_lines(headers)
        self.response_started = True
        self.waiting_for_100_continue = False
        self.answered_early = self.more_body
        closes = self.answered_early or not self.keep_alive
        of_every_answer = self.of_every_answer
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name in REPLACEABLE:
                of_every_answer = without(of_every_answer, name)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = closes = False  # the header is there already
            elif value == _EVENT_STREAM:
                _notice_who_vanished(self.transport)
        has_body = self.scope["method"] != "HEAD" and status not in (204, 304)
        self.chunked_encoding = has_body if self.chunked_encoding is None else self.chunked_encoding
        # With `answered_early`, the close of uvicorn's own would come too soon.
        self.keep_alive = self.keep_alive or self.answered_early
        chunked = bool(self.chunked_encoding)
        self.transport.write(answer_head(status, of_every_answer, own, closes=closes, chunked=chunked))


class EndingProtocol(HttpToolsProtocol):
    """One connection, as far as it ends."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(server_state, HttpServerState)
        self._shared = server_state
        self._bounds = server_state.bounds
        self._active: Cycle | None = None
        # What comes is thrown away from now on.
        self._deaf = False
        self._last_answer: Problem | None = None
        self._unsent_bytes = 0
        self._write_deadline: asyncio.TimerHandle | None = None
        self._linger_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that never says anything is closed like an idle one; one too many is closed at once."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.max_connections:
            self._deaf = True
            self._write(Problem(503, "too_many_connections", "this process has all the connections it may have"))
            # Without lingering, or those above the bound would be held open as well.
            transport.close()
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadlines with the connection, and tells the request that is being answered."""
        self._unset_keepalive_if_required()
        self._stop_watching()
        if self._linger_deadline is not None:
            self._linger_deadline.cancel()
        if self._active is not None and not self._active.response_complete:
            # uvicorn tells only the last request, which is another one when several came at once.
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def close_after_answer(self) -> None:
        """What is being answered says `Connection: close`."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._active = cycle  # type: ignore[assignment] # only such are made here
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """An answer is written: the next one's turn, or the end."""
        early = self._active is not None and self._active.answered_early
        if early or (self._last_answer is not None and not self.pipeline):
            self.server_state.total_requests += 1
            if self._last_answer is not None and not early:
                self._write(self._last_answer)
            self._linger()
        else:
            super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch_writing()

    def _refuse(self, problem: Problem, *, of_next: bool) -> None:
        """Ends the connection with `problem`: `of_next`, of a request that has not begun, else of the last one."""
        self._deaf = True
        if self._linger_deadline is not None:
            return
        cycle = self.cycle
        if not of_next and cycle is not None and cycle.more_body:
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            elif cycle.response_started:
                # Its own answer is on its way, and the connection ends after it.
                return
            else:
                cycle.scope[REFUSED_STATUS] = problem.status  # type: ignore[typeddict-unknown-key]
                cycle.disconnected = True
                cycle.message_event.set()
                self.transport.write(_as_bytes(problem))
                self._linger()
                return
        if self._active is not None and not self._active.response_complete:
            # No answer may be mixed into another one.
            self._last_answer = problem
            return
        self._write(problem)
        self._linger()

    def _write(self, problem: Problem) -> None:
        self._shared.count_refused(problem.status)
        self.transport.write(_as_bytes(problem))

    def _linger(self) -> None:
        """Says that nothing more comes, and waits a little for the other side to end.

        Closing while the other side still writes would reset the connection, and take the answer from it.
        """
        self._deaf = True
        self._unset_keepalive_if_required()
        if self._linger_deadline is None and not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()
            self._linger_deadline = self.loop.call_later(self._bounds.linger_s, self.transport.abort)

    def pause_writing(self) -> None:
        """The reader is slow."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._stop_watching()

    def _watch_writing(self) -> None:
        self._stop_watching()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._write_deadline = self.loop.call_later(self._bounds.write_timeout_s, self._write_late)

    def _stop_watching(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _write_late(self) -> None:
        self._write_deadline = None
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes > self._unsent_bytes - MIN_TAKEN_BYTES and unsent_bytes:
            self.transport.abort()
        elif unsent_bytes:
            self._watch_writing()


def _notice_who_vanished(transport: asyncio.Transport) -> None:
    """Whoever does not acknowledge what is sent is gone; Linux alone would go on trying for a quarter of an hour."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


def _as_bytes(problem: Problem) -> bytes:
    body = problem.body()
    fields = {
        "content-type": CONTENT_TYPE,
        "content-length": str(len(body)),
        **SECURITY_HEADERS,
        **problem.headers(),
        "connection": "close",
    }
    head = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
    head += [f"{name.lower()}: {value}" for name, value in fields.items()]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body
