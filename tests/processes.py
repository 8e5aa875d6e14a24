"""Child processes of a test, and waiting for what they should come to."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from threatlog.embedded.child import ChildProcess, Launch
from threatlog.process.postgres_roles import LOGINS

EVENTUALLY_S = 30.0
_POLL_INTERVAL_S = 0.05
_HTTP_TIMEOUT_S = 5.0
_MODULES = {"ingest_gateway": "gateway", "stream_app": "stream", "query_api": "query"}

Found = TypeVar("Found")


class Spawned:
    """A started process with its log."""

    def __init__(self, name: str, command: Sequence[str], log_path: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.child = ChildProcess(Launch(tuple(command), log_path, environment=environment))

    def wait_http(self, url: str, timeout_s: float = 30.0) -> None:
        """Returns when `url` answers 200; fails with the log when the process ends or is too late."""

        def answers() -> bool:
            if not self.child.running:
                raise AssertionError(f"{self.name} ended with {self.child.exit_code}:\n{self.child.log_tail(100)}")
            return http_status(url) == 200

        wait_until(answers, timeout_s, f"{self.name} answers 200 at {url}")

    def wait_exit(self, timeout_s: float) -> int:
        """The exit code; fails when it still runs after `timeout_s`."""
        code = self.child.wait(timeout_s)
        assert code is not None, f"{self.name} still runs after {timeout_s} s:\n{self.child.log_tail(100)}"
        return code

    def log_text(self) -> str:
        """All it wrote."""
        return self.child.launch.log_path.read_text(encoding="utf-8", errors="replace")


class Spawner(Protocol):
    """The `spawn` fixture: `spawn("gateway", ["-m", "threatlog", "gateway"], stack.environment)`."""

    def __call__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Spawned: ...


@contextmanager
def spawning(folder: Path) -> Iterator[Spawner]:
    """Starts child processes with their logs in `folder`; at the end it stops them and prints the logs."""
    started: list[Spawned] = []

    def start(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Spawned:
        command = (sys.executable, *arguments)
        own = as_its_login(arguments, environment)
        started.append(Spawned(name, command, folder / f"{len(started)}-{name}.log", own))
        return started[-1]

    try:
        yield start
    finally:
        for process in reversed(started):
            process.child.stop(10.0)
            print(f"--- log of {process.name}, exit code {process.child.exit_code}\n{process.child.log_tail(100)}")


def as_its_login(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service with its own login to PostgreSQL, unless it names one."""
    service = _MODULES.get(arguments[-1], arguments[-1])
    login = {"THREATLOG_POSTGRES_USER": LOGINS[service][0]} if service in LOGINS else {}
    return {**login, **environment}


def wait_until(condition: Callable[[], Found], timeout_s: float, what: str) -> Found:
    """Polls until `condition` returns something true, and returns that; fails naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {timeout_s} s still not: {what}; last seen {found!r}"
        time.sleep(_POLL_INTERVAL_S)
    return found


async def eventually(condition: Callable[[], Awaitable[Found]], what: str, timeout_s: float = EVENTUALLY_S) -> Found:
    """The same inside an event loop."""
    deadline = time.monotonic() + timeout_s
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"after {timeout_s} s still not: {what}; last seen {found!r}"
        await asyncio.sleep(_POLL_INTERVAL_S)
    return found


def http_status(url: str) -> int | None:
    """The status that a GET answers; None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def http_json(url: str, body: object = None, *, method: str | None = None) -> tuple[int, Any]:
    """The status and the decoded body of a request; a `body` is sent as JSON with POST."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_HTTP_TIMEOUT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
            with suppress(ValueError):
                return error.code, json.loads(content)
            return error.code, content
