"""Fixtures of the tests of the page: a browser, and one set of processes with events in it for all of them."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.fleet import Fleet, Part
from tests.e2e.page.sample_events import Times, all_lines, batches
from tests.e2e.page.screen import Screen, screen
from tests.processes import http_json, spawning, wait_until
from tests.servers import StackMaker

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MakeScreen = Callable[..., AbstractContextManager[Screen]]
MoreQueries = Callable[..., AbstractContextManager[Part]]


@dataclass(frozen=True, slots=True)
class Served:
    """The processes, and when their events are."""

    fleet: Fleet
    times: Times


def chromium() -> str | None:
    """The browser of this machine; None where there is none."""
    return os.environ.get("THREATLOG_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Skips before any server is started."""
    if chromium() is None:
        pytest.skip("there is no Chromium on the PATH; THREATLOG_TEST_CHROMIUM may name one")


# Of a module, not of the session: while it lives no event loop of another test can run in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = chromium()
    # Chromium's sandbox refuses to start as root.
    arguments = [*_ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else list(_ARGUMENTS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="package")
def served(stack_maker: StackMaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway, a worker and a query API with all events stored."""
    stack = stack_maker.make(2, {})
    with spawning(tmp_path_factory.mktemp("logs")) as spawn:
        fleet = Fleet(stack, spawn, workers=1, queries=1)
        fleet.wait_ready()
        times = Times(datetime.now(UTC))
        send(fleet, all_lines(times))
        yield Served(fleet, times)
        fleet.assert_alive()
    stack_maker.remove(stack)


def send(fleet: Fleet, lines_of_events: Iterable[bytes]) -> int:
    """Sends events, waits until they are stored, and says how many they are."""
    count = 0
    before = _stored(fleet)
    for lines in batches(lines_of_events):
        request = urllib.request.Request(
            f"{fleet.gateway_url}/api/v1/logs/ingest/batch", b"\n".join(lines), {"Content-Type": "application/x-ndjson"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["errors"] == []
        count += len(lines)
    wait_until(lambda: _stored(fleet) >= before + count, 60.0, f"{count} events are stored")
    return count


def _stored(fleet: Fleet) -> Any:
    return http_json(f"{fleet.query_url}/api/v1/metrics", method="GET")[1]["total_logs_ingested"]


@pytest.fixture(scope="package")
def more_queries(served: Served) -> MoreQueries:
    """`with more_queries(THREATLOG_...=...) as part:` a query API of its own settings on the same events."""

    @contextmanager
    def start(**variables: str) -> Iterator[Part]:
        part = served.fleet.add_query(**variables)
        part.process.wait_http(part.ready_url)
        yield part
        served.fleet.remove(part)

    return start


@pytest.fixture
def make_screen(browser: Browser, served: Served) -> MakeScreen:
    """`with make_screen(width=..., ...) as shown:` a window with options of Playwright's contexts."""

    def make(url: str | None = None, **options: Any) -> AbstractContextManager[Screen]:
        return screen(browser, url or served.fleet.query_url, **options)

    return make


@pytest.fixture
def shown(make_screen: MakeScreen) -> Iterator[Screen]:
    """A window of usual size."""
    with make_screen() as made:
        yield made
