"""`threatlog search` against a server that is busy, breaks off, or streams: a script in the place of the query API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.no_database]

POSITION = b"id: 0:0\nevent: position\ndata: {}\n\n"


def event(number: int) -> dict[str, str]:
    moment = f"2026-11-24T10:00:{number:02}Z"
    fields = {"id": str(number), "timestamp": moment, "severity": "LOW", "source": "s", "message": f"m{number}"}
    return {**fields, "ingested_at": moment}


def log(number: int) -> bytes:
    return b"id: 0:%d\nevent: log\ndata: %b\n\n" % (number, json.dumps(event(number)).encode())


def page(*numbers: int, **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    about = {"complete_until": now, "incomplete_reason": None, "lag": {"events": 0, "as_of": now, "stale": False}}
    return {"logs": [event(number) for number in numbers], "next_cursor": None, "total": None, **about, **more}


class Script:
    """What is answered to each question in turn: a status with a document, or pieces of a stream."""

    def __init__(self, pages: list[tuple[int, Any]], streams: list[list[bytes]]) -> None:
        self.pages, self.streams = pages, streams
        self.asked: list[dict[str, str]] = []
        self.last_ids: list[str] = []
        self.keys: set[str] = set()
        self.held = threading.Event()


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            script.keys.add(self.headers.get("Authorization", ""))
            if urlsplit(self.path).path.endswith("/tail"):
                self._stream()
                return
            script.asked.append({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})
            status, document = script.pages.pop(0) if len(script.pages) > 1 else script.pages[0]
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            script.last_ids.append(self.headers.get("Last-Event-ID", ""))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in script.streams.pop(0):
                self.wfile.write(piece)
                self.wfile.flush()
            if not script.streams:
                script.held.wait(60)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def served(script: Script) -> Iterator[str]:
    """The address of a server that follows the script."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        script.held.set()
        server.shutdown()
        server.server_close()
        thread.join()


def command(url: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "threatlog", "search", "--url", url, "--output", "json", *arguments]


ENVIRONMENT = {**os.environ, "THREATLOG_API_KEY": "tlk_test"}


def ids(output: bytes) -> list[int]:
    return [int(json.loads(line)["id"]) for line in output.splitlines()]


def test_what_is_busy_is_asked_again_and_a_search_that_ended_early_goes_on() -> None:
    busy = {"detail": "all connections are in use", "code": "busy"}
    early = page(3, 2, next_cursor="abc", scanned_until="2026-11-24T09:00:00Z")
    nothing = page(next_cursor="def", scanned_until="2026-11-24T08:00:00Z")
    script = Script([(503, busy), (200, early), (200, nothing), (200, page(1))], [])
    with served(script) as url:
        ran = subprocess.run(
            command(url, "q", "--limit", "50"), env=ENVIRONMENT, capture_output=True, timeout=60, check=False
        )
    assert (ran.returncode, ids(ran.stdout)) == (0, [3, 2, 1])
    assert ran.stderr.decode() == "threatlog: all connections are in use; asking again in 1 s\n"
    assert [asked.get("cursor") for asked in script.asked] == [None, None, "abc", "def"]
    assert [asked["limit"] for asked in script.asked] == ["50", "50", "48", "48"]
    assert script.keys == {"Bearer tlk_test"}


def test_following_shows_the_past_then_what_comes_each_once_and_ends_by_ctrl_c() -> None:
    skipped = b'id: 0:5\nevent: skipped\ndata: {"events": 2, "start_time": "A", "end_time": "B"}\n\n'
    streams = [
        [b"retry: 10\n\n", POSITION, log(2), log(3), log(4)[:20]],
        [log(4), skipped, log(6)],
    ]
    # Behind the beginning of the stream only once the lag was looked at anew: the second look finds one more.
    script = Script([(200, page(1)), (200, page(2, 1))], streams)
    with (
        served(script) as url,
        subprocess.Popen(
            command(url, "--since", "1h", "--follow"), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        shown = b"".join(process.stdout.readline() for _ in range(5))
        assert ids(shown) == [1, 2, 3, 4, 6]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout.read() == b""
        said = process.stderr.read().decode()
    assert script.last_ids == ["", "0:3"]
    assert "2 events were skipped here; ask for them by --since A --until B --all" in said
    assert "Traceback" not in said


def test_ctrl_c_ends_a_search_that_waits() -> None:
    script = Script([(503, {"detail": "busy"})], [])
    with (
        served(script) as url,
        subprocess.Popen(command(url, "q"), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        wait_until(lambda: script.asked, 30, "the server is asked")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("status", "document", "said"),
    [
        (200, ["no page"], "is no query API of ThreatLog"),
        (401, {"detail": "a key is needed"}, "a key is needed; a key is taken from THREATLOG_API_KEY or --key-file"),
        (500, "\x1b[2J", "the query API answers 500"),
        (422, {"detail": "start_time is \x1b[2J"}, "start_time is \\x1b[2J"),
    ],
)
def test_what_is_refused_is_said_in_one_line(status: int, document: object, said: str) -> None:
    with served(Script([(status, document)], [])) as url:
        ran = subprocess.run(command(url, "q"), env=ENVIRONMENT, capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count(b"\n")) == (2, b"", 1)
    assert said in ran.stderr.decode()
