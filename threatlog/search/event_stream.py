"""Reads server-sent events from bytes that may be cut anywhere.

As in https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6: a last event that is not ended by
an empty line is dropped, so a connection that breaks off gives no half of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Larger than any event that is stored, attributes and all.
MOST_BYTES: Final = 64 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLargeError(Exception):
    """What comes is no stream of ours."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event; `last_id` is the newest id that was sent with it or before."""

    kind: str
    data: bytes
    last_id: str


class EventStream:
    """Takes bytes, gives events. `last_id` is where to go on after a break, `retry_ms` how long to wait before."""

    def __init__(self, last_id: str = "", most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._rest = b""
        self._begun = False
        self._ends_in_return = False
        self._id = last_id
        self._kind = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, content: bytes) -> Iterator[StreamEvent]:
        """The events that these bytes end. Raises EventTooLargeError."""
        for line in self._lines(content):
            self._size += len(line)
            if self._size > self._most_bytes:
                raise EventTooLargeError(f"an event is larger than {self._most_bytes} bytes")
            if line:
                self._field(line)
                continue
            self.last_id = self._id
            if self._data:
                yield StreamEvent(self._kind or "message", b"\n".join(self._data), self.last_id)
            self._kind, self._data, self._size = "", [], 0

    def _lines(self, content: bytes) -> Iterator[bytes]:
        """Whole lines; each ends in CR LF, LF or CR."""
        if self._ends_in_return and content:
            content = content.removeprefix(b"\n")
            self._ends_in_return = False
        if b"\n" not in content and b"\r" not in content:
            self._rest += content
        else:
            self._ends_in_return = content.endswith(b"\r")
            *lines, rest = (self._rest + content).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self._rest = rest
            for line in lines:
                yield line if self._begun else line.removeprefix(_BOM)
                self._begun = True
        if len(self._rest) > self._most_bytes:
            raise EventTooLargeError(f"a line is larger than {self._most_bytes} bytes")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value)
