"""What tests ask of exports: to make one, to read it whole or in part, to see how it stands."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import msgspec
import zstandard

from query_api.reading import LoggedEvent
from tests.integration.query_api.running import HOUR, QueryApi
from tests.unit.query_api.builders import logged_event, with_attributes

EXPORTS = "/api/v1/exports"
# Texts that CSV, JSON and line ends make difficult.
HARD_TEXTS = (
    "",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\ttab",
    "\rreturn",
    "\nline",
    "'quoted'",
    "＝1",
    'a "b", c',
    "a\r\nb\nc\rd",
    "back\\slash \\u0000 \\n",
    "\x01\x1f\x7f\x08\x0c",
    "Ünïcödé 🔥 \u2028 \ufeff",
)
HARD_ATTRIBUTES = (
    b"{}",
    b'{"n":9007199254740993,"m":123456789012345678901234567890,"f":1.0000000000000000001,"e":-0.0}',
    b'{\r\n  "spread":\r\n\t[1,\n2]\r}',
    b'{"nul":"\\u0000","surrogate":"\\ud83d\\ude00","esc":"\\/\\b"}',
    b'{"a":1,"a":2}',
    b'{"l":' + b"[" * 30 + b"1" + b"]" * 30 + b"}",
    '{"ü":"＝"}'.encode(),
)


def hard_events() -> list[LoggedEvent]:
    """Every difficult text as a message and in a source, with and without attributes, some at the same moment."""
    events = []
    for number, text in enumerate(HARD_TEXTS * 4):
        event = logged_event(
            number,
            timestamp=logged_event(number // 3).timestamp.replace(microsecond=(number * 37) % 3 * 120),
            message=text,
            source=text.strip()[:20] or "web-01",
            severity=("INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")[number % 5],
        )
        raw = HARD_ATTRIBUTES[number % len(HARD_ATTRIBUTES)]
        events.append(event if number % 4 == 0 else with_attributes(event, raw))
    return events


def large_events(rng: random.Random, number: int, size: int = 100_000) -> list[LoggedEvent]:
    """So much text that an export has many pieces."""
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789 "
    block = "".join(rng.choices(alphabet, k=size))
    return [logged_event(n, message=f"{n} {block[n % size :]}{block[: n % size]}") for n in range(number)]


def ask(api: QueryApi, **members: Any) -> tuple[int, dict[str, Any]]:
    """The answer to an export of the hour after noon."""
    body = json.dumps({**HOUR, **members}).encode()
    request = urllib.request.Request(f"{api.url}{EXPORTS}", body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def made(api: QueryApi, **members: Any) -> dict[str, Any]:
    """A new export."""
    status, export = ask(api, **members)
    assert status == 201, export
    return export


def status_of(api: QueryApi, export: dict[str, Any]) -> dict[str, Any]:
    """How it stands."""
    status, found = api.get(f"{EXPORTS}/{export['id']}")
    assert status == 200, found
    known: dict[str, Any] = found
    return known


def cancel(api: QueryApi, export: dict[str, Any]) -> dict[str, Any]:
    """What the answer to cancelling it says."""
    request = urllib.request.Request(f"{api.url}{EXPORTS}/{export['id']}", method="DELETE")
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def read(api: QueryApi, export: dict[str, Any], query: str = "") -> bytes:
    """The file, or what is left of it; raises IncompleteRead where it is broken off, HTTPError where it is refused."""
    with urllib.request.urlopen(f"{api.url}{export['rows_url']}{query}", timeout=60) as answer:
        found: bytes = answer.read()
    return found


def refused(api: QueryApi, export: dict[str, Any], query: str = "") -> dict[str, Any]:
    """The problem that reading it is answered with."""
    try:
        read(api, export, query)
    except urllib.error.HTTPError as error:
        found: dict[str, Any] = json.load(error)
        return found
    raise AssertionError("it was not refused")


class Download:
    """A connection with an export on it, read as slowly as a test likes."""

    def __init__(self, api: QueryApi, export: dict[str, Any], query: str = "") -> None:
        parts = urlsplit(api.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._connection.request("GET", f"{export['rows_url']}{query}")
        self.answer = self._connection.getresponse()
        self.data = b""

    def read(self, size: int) -> bytes:
        """So many bytes more."""
        while len(self.data) < size:
            piece = self.answer.read(min(size - len(self.data), 1 << 16))
            assert piece, "it ended"
            self.data += piece
        return self.data

    def rest(self) -> bool:
        """Reads what is left; whether that was all."""
        try:
            while piece := self.answer.read1(1 << 16):
                self.data += piece
        except (http.client.IncompleteRead, ConnectionError):
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Leaves."""
        self.answer.close()
        self._connection.close()


def lines_of(events: list[LoggedEvent]) -> bytes:
    """NDJSON as it should be: each event as in a page, its attributes on one line."""
    return b"".join(msgspec.json.encode(_on_one_line(event)) + b"\n" for event in events)


def _on_one_line(event: LoggedEvent) -> LoggedEvent:
    if isinstance(event.attributes, msgspec.UnsetType):
        return event
    return with_attributes(event, bytes(event.attributes).replace(b"\n", b" ").replace(b"\r", b" "))


def newest_first(events: list[LoggedEvent]) -> list[LoggedEvent]:
    """In the order of pages."""
    return sorted(events, key=lambda event: (event.timestamp, event.id), reverse=True)


def decompressed(data: bytes, compression: str) -> bytes:
    """The text of a file, all its members or frames."""
    if compression == "gzip":
        return gzip.decompress(data)
    if compression == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data
