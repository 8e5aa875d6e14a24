"""Server-sent events as bytes, as in https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

from typing import Final

import msgspec

from ingest_gateway.contract import moment_of
from query_api.tail.losses import Loss
from query_api.tail.vector import Vector, written

_encode: Final = msgspec.json.Encoder().encode
# How long a client waits before it connects again, in milliseconds.
RECONNECT: Final = b"retry: 1000\n\n"
KEEP_ALIVE: Final = b": still here\n\n"


class LogIds:
    """The ids of events of one partition, while the positions of the others stay as they are."""

    def __init__(self, positions: Vector, partition: int) -> None:
        others = {number: offset for number, offset in positions.items() if number != partition}
        below = written({number: offset for number, offset in others.items() if number < partition})
        above = written({number: offset for number, offset in others.items() if number > partition})
        self._head = f"id: {below}{',' if below else ''}{partition}:".encode()
        self._tail = f"{',' if above else ''}{above}\nevent: log\ndata: ".encode()

    def frame(self, offset: int, line: bytes) -> bytes:
        """The event at this offset; whoever got it goes on behind it."""
        return b"%b%d%b%b\n\n" % (self._head, offset + 1, self._tail, line)


def position(positions: Vector) -> bytes:
    """Everything before these was looked at."""
    return f"id: {written(positions)}\nevent: position\ndata: {{}}\n\n".encode()


def skipped(loss: Loss, positions: Vector) -> bytes:
    """What was not looked at, and where it goes on."""
    data = _encode(
        {
            "events": loss.events,
            "start_time": moment_of(loss.first_us),
            "end_time": moment_of(loss.last_us),
            "reason": loss.reason,
        }
    )
    return b"id: %b\nevent: skipped\ndata: %b\n\n" % (written(positions).encode(), data)


def trouble(detail: str | None) -> bytes:
    """Why nothing comes; None once it comes again."""
    return b"event: trouble\ndata: %b\n\n" % _encode({"detail": detail})


def ended(code: str, detail: str) -> bytes:
    """The last one: why the stream ends."""
    return b"event: ended\ndata: %b\n\n" % _encode({"code": code, "detail": detail})
