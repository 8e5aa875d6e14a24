"""What a person does with the page and sees of it; and what must never happen while they do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect

WAIT_MS: Final = 15_000
expect.set_options(timeout=WAIT_MS)
# Chromium's own note of an answer with a status of 400 or more.
_OF_NETWORK: Final = re.compile("^Failed to load resource")
# The text with the characters that are shown as marks put back: what the page was given, if it shows it literally.
GIVEN: Final = """element => {
  const copy = element.cloneNode(true);
  for (const mark of copy.querySelectorAll("[data-code]"))
    mark.replaceWith(String.fromCodePoint(parseInt(mark.dataset.code, 16)));
  return copy.textContent;
}"""


@dataclass(slots=True)
class Screen:
    """One window of the page."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, address: str = "") -> Screen:
        """Goes to the page with this behind `#`, as with a link from somewhere else."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{address}")
        return self

    @property
    def lines(self) -> Locator:
        """The events of the list."""
        return self.page.locator(".events .line")

    @property
    def status(self) -> Locator:
        """What is said of the whole search."""
        return self.page.locator("#results .status")

    @property
    def filter(self) -> Locator:
        """The line that is typed into."""
        return self.page.get_by_role("combobox", name="Filter")

    def button(self, name: str, *, exact: bool = True) -> Locator:
        """A button by what it says."""
        return self.page.get_by_role("button", name=name, exact=exact)

    def search(self, text: str) -> Screen:
        """Types a filter and presses Enter."""
        self.filter.fill(text)
        self.filter.press("Enter")
        return self

    def shows(self, count: str) -> Screen:
        """Waits until so many events are said to be there, such as `12 events`."""
        expect(self.status).to_contain_text(re.compile(rf"^{re.escape(count)}( |$|\\b)"))
        expect(self.page.locator(".list.stale")).to_have_count(0)
        return self

    def hash(self) -> str:
        """What the address bar has behind `#`."""
        return urlsplit(self.page.url).fragment

    def given(self, element: Locator) -> str:
        """The text of an element as the page was given it."""
        text: str = element.evaluate(GIVEN)
        return text

    def all_given(self, elements: Locator) -> list[str]:
        """The same of many."""
        texts: list[str] = elements.evaluate_all(f"elements => elements.map({GIVEN})")
        return texts


@contextmanager
def screen(browser: Browser, url: str, **options: Any) -> Iterator[Screen]:
    """A fresh window; at its end nothing may have gone wrong in it, and nobody else been asked for anything."""
    settings: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "Europe/Oslo", **options}
    context = browser.new_context(**settings)
    context.set_default_timeout(WAIT_MS)
    made = Screen(context.new_page(), url)
    _watch(made)
    try:
        yield made
        host = urlsplit(url).netloc
        assert made.hosts <= {host}, f"asked other hosts: {made.hosts - {host}}"
        assert not made.faults, made.faults
    finally:
        context.close()


def _watch(made: Screen) -> None:
    def note(kind: str) -> Callable[[Any], None]:
        return lambda what: made.faults.append(f"{kind}: {what}")

    def console(message: Any) -> None:
        if message.type in ("error", "warning") and not _OF_NETWORK.match(message.text):
            made.faults.append(f"console: {message.text}")

    def dialog(opened: Any) -> None:
        made.faults.append(f"dialog: {opened.message}")
        opened.dismiss()

    page = made.page
    page.on("pageerror", note("error"))
    page.on("console", console)
    page.on("dialog", dialog)
    page.on("popup", note("popup"))
    page.on(
        "request", lambda request: made.hosts.add(urlsplit(request.url).netloc) if "blob:" not in request.url else None
    )
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', broken =>"
        " console.error('policy: ' + broken.violatedDirective + ' ' + broken.blockedURI + ' ' + broken.sample))"
    )
