"""The page in Chromium: from pressing Enter to the first rows painted, with ten million events."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Page, Request, expect, sync_playwright

from benchmarks.bench_stack import bench_stack
from benchmarks.query import SOURCE, percentile
from benchmarks.query_data import QUIET_SOURCE, RARE_EVENTS_A_DAY, fill_now, newest_end
from benchmarks.section import Figure, Section

ROWS = 10_000_000
QUICK_ROWS = 300_000
PARTITIONS = 12
SEARCHES = 30
ASKED_MS = 200.0
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Enter is noted as the browser dates it; rows are painted when the frame after they came into the list is over.
_WATCH: Final = """
window.pressed = 0;
window.painted = null;
addEventListener("keydown", (event) => {
  if (event.key === "Enter") { window.pressed = event.timeStamp; window.painted = null; }
}, true);
const look = () => {
  const list = document.querySelector("#results .list:not(.stale) .events .line");
  if (!window.pressed || window.painted !== null || !list) return;
  const status = document.querySelector("#results .status");
  if (status.textContent.startsWith("Searching")) return;
  window.painted = 0;
  requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now() - window.pressed; }));
};
new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true, characterData: true });
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of search, over the last 24 hours unless said, with words of its own each time."""

    name: str
    text: Callable[[random.Random], str]
    last: str = "24h"


_KINDS: Final = (
    _Kind("everything, but for a word of its own", lambda rng: f"-{_word(rng)}"),
    _Kind("two severities", lambda rng: f"severity:critical,high -{_word(rng)}"),
    _Kind("one source", lambda rng: f"source:{SOURCE} -{_word(rng)}"),
    _Kind("a source of 20 events a day", lambda rng: f"source:{QUIET_SOURCE} -{_word(rng)}"),
    _Kind("an IP address of one event a day", lambda rng: f"192.0.2.{rng.randrange(RARE_EVENTS_A_DAY)}"),
    _Kind("the same, 7 days", lambda rng: f"192.0.2.{rng.randrange(RARE_EVENTS_A_DAY)}", "7d"),
    _Kind("a word of 20 events a day", lambda rng: f"quarantined -{_word(rng)}"),
)


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("bcdfghjklmnpqrstvwxz") for _ in range(12))


class _Window:
    """A window of the page, and which of its questions are not answered yet."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._waiting: set[Request] = set()
        page.add_init_script(_WATCH)
        page.on("request", lambda request: self._waiting.add(request))  # noqa: PLW0108 - it marks what it is given
        page.on("requestfinished", lambda request: self._waiting.discard(request))  # noqa: PLW0108
        page.on("requestfailed", lambda request: self._waiting.discard(request))  # noqa: PLW0108

    def open(self, address: str) -> None:
        """Shows it, with events."""
        self.page.goto("about:blank")
        self.page.goto(address)
        expect(self.page.locator(".events .line").first).to_be_visible()
        self.settle()

    def painted_ms(self, text: str) -> float:
        """Types a search, presses Enter and waits for its rows, and then for all that comes after them."""
        box = self.page.get_by_role("combobox", name="Filter")
        box.fill(text)
        self.settle()
        box.press("Enter")
        for _ in range(600):
            # Seldom, so that looking costs the page nothing; and no `wait_for_function`, which its policy forbids.
            self.page.wait_for_timeout(50)
            took_ms: float | None = self.page.evaluate("() => window.painted")
            if took_ms:
                self.settle()
                return took_ms
        raise RuntimeError(f"no rows of {text!r} in 30 s")

    def settle(self) -> None:
        """Returns when nothing was asked for a fifth of a second."""
        for _ in range(600):
            was_waiting = bool(self._waiting)
            self.page.wait_for_timeout(200)
            if not was_waiting and not self._waiting:
                return


def _measured(window: _Window, kind: _Kind, url: str, searches: int, rng: random.Random) -> list[float]:
    window.open(f"{url}/#last={kind.last}")
    return [window.painted_ms(kind.text(rng)) for _ in range(searches + 3)][3:]


def _figure(kind: _Kind, times: list[float]) -> Figure:
    p50, p95 = percentile(tuple(times), 0.5), percentile(tuple(times), 0.95)
    measured = f"p50 {p50:.0f}, p95 {p95:.0f} ms ({len(times)} searches)"
    return Figure(kind.name, measured, f"p95 {ASKED_MS:.0f} ms", p95 <= ASKED_MS)


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    rows, searches = (QUICK_ROWS, 5) if quick else (ROWS, SEARCHES)
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise RuntimeError(f"none of {', '.join(_NAMES)} is on the PATH")
    rng, end = random.Random(), newest_end()
    with bench_stack(PARTITIONS) as stack, ExitStack() as later:
        fill_now(stack.dsn, stack.topic, PARTITIONS, rows, end)
        for name in ("gateway", "stream", "query"):
            stack.start(name)
        # From here on no event loop can run in this thread.
        playwright = later.enter_context(sync_playwright())
        # Chromium's sandbox refuses to start as root.
        arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        window = _Window(browser.new_context(viewport={"width": 1280, "height": 800}).new_page())
        figures = [_figure(kind, _measured(window, kind, stack.url("query"), searches, rng)) for kind in _KINDS]
        browser.close()
    return Section(
        f"The page with {rows:,} rows over 7 days: from Enter to the first rows painted",
        tuple(figures),
        "Chromium without a window, 1280 by 800, beside all servers and services on the same cores; over 24 hours"
        " unless said. Each search has words that no other has, so none is answered from the cache. Up to 100 rows are"
        " drawn at once; counts over time and the fields come after them, and are there before the next search.",
    )
