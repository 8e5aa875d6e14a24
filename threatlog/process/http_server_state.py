"""What all connections of one server share: their bounds, whether it stops, and who counts what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uvicorn.server import ServerState

from threatlog.process.http_head import header_lines

_PAGES: Final = ("/docs", "/static-offline-docs")


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """How long a connection may take for what, and how many there may be."""

    # From the first byte of a request to the end of its headers.
    header_timeout_s: float = 5.0
    # A connection without a request is closed after this.
    idle_timeout_s: float = 15.0
    # After an answer to a request that had not ended: what still comes is thrown away, so that the sender, who may be
    # writing, can read the answer before the connection is gone.
    linger_s: float = 2.0
    # In this time a reader takes MIN_TAKEN_BYTES of what it was sent, or the rest.
    write_timeout_s: float = 30.0
    max_connections: int = 10_000


def _nobody_counts(_status: int) -> None:
    """The default."""


class HttpServerState(ServerState):
    """uvicorn's own shared state, and ours."""

    def __init__(
        self, bounds: ConnectionBounds | None = None, count_refused: Callable[[int], None] = _nobody_counts
    ) -> None:
        super().__init__()
        self.bounds = bounds or ConnectionBounds()
        self.count_refused = count_refused
        self.stopping = False
        # uvicorn makes `default_headers` anew each second, for the date.
        self._made_of: list[tuple[bytes, bytes]] | None = None
        self._lines = self._page_lines = b""

    def lines_for(self, path: str) -> bytes:
        """The headers of every answer; a page of documentation runs scripts, so it has no policy against them."""
        headers = self.default_headers
        if headers is not self._made_of:
            self._made_of = headers
            self._lines = header_lines(headers)
            self._page_lines = header_lines(header for header in headers if header[0] != b"content-security-policy")
        return self._page_lines if path.startswith(_PAGES) else self._lines
