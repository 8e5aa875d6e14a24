"""Runs one ASGI application on uvicorn until SIGTERM or SIGINT, and ends within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from types import FrameType

import uvicorn

from threatlog.process.http_metrics import HttpMetrics
from threatlog.process.http_protocol import ProblemHttpProtocol
from threatlog.process.http_server_state import ConnectionBounds, HttpServerState
from threatlog.process.security_headers import SECURITY_HEADERS
from threatlog.process.settings import Server

log = logging.getLogger(__name__)
# Connections that may wait to be taken, so that a burst of a thousand is not turned away.
BACKLOG = 2048


class PortTakenError(Exception):
    """The address cannot be listened on; the text says which and why."""


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """How long each step of a stop may take; what a process does after them must fit in what is left of ten seconds."""

    # Still accepting, with /readyz at 503 and `Connection: close` on every answer, so that clients which stay on a
    # connection come back to another process. A load balancer sees it only when it asks more often than this; the
    # health checks of docker-compose.yml come every 10 s and do not.
    drain_s: float = 0.5
    # Requests that have begun may end.
    requests_s: float = 5.0


class _Server(uvicorn.Server):
    """uvicorn's server, but a signal ends it with success instead of being raised once more."""

    def __init__(
        self, config: uvicorn.Config, state: HttpServerState, policy: StopPolicy, on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.server_state = self._state = state
        self._policy = policy
        self._on_stop = on_stop
        self._stopping = False

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """The first signal starts an orderly stop, a second one hurries it."""
        if self._stopping:
            self.should_exit = self.force_exit = True
            return
        self._stopping = True
        log.info("stopping", extra={"signal": signal.Signals(sig).name})
        self._on_stop()
        self._state.stopping = True
        for connection in self._state.connections:
            assert isinstance(connection, ProblemHttpProtocol)
            connection.close_after_answer()
        asyncio.get_running_loop().call_later(self._policy.drain_s, self._begin_exit)

    def _begin_exit(self) -> None:
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises PortTakenError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        raise PortTakenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener


async def serve(
    app: HttpMetrics,
    listener: socket.socket,
    on_stop: Callable[[], None] = lambda: None,
    policy: StopPolicy | None = None,
    bounds: ConnectionBounds | None = None,
) -> None:
    """Serves until a signal. `on_stop` is called at once then; the application's lifespan ends last."""
    policy, bounds = policy or StopPolicy(), bounds or ConnectionBounds()
    config = uvicorn.Config(
        app,
        http=ProblemHttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=list(SECURITY_HEADERS.items()),
        backlog=BACKLOG,
        # uvicorn's own is an integer.
        timeout_keep_alive=max(1, round(bounds.idle_timeout_s)),
        # uvicorn's own is an integer.
        timeout_graceful_shutdown=max(1, round(policy.requests_s)),
    )
    host, port = listener.getsockname()[:2]
    # What uvicorn says of starts and stops is said here in one line each.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    log.info("listening", extra={"host": host, "port": port})
    state = HttpServerState(bounds, app.count_refused)
    await _Server(config, state, policy, on_stop).serve(sockets=[listener])


def run_loop(main: Callable[[], Awaitable[int]]) -> int:
    """Runs `main` on a uvloop and returns its exit code."""
    import uvloop

    async def entry() -> int:
        return await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(entry())


def connection_bounds(settings: Server) -> ConnectionBounds:
    """How long a connection may take for what, by the settings; the same for every HTTP server."""
    return ConnectionBounds(header_timeout_s=settings.header_timeout, idle_timeout_s=settings.idle_timeout)
