"""What axe finds in every state of the page, in both themes, wide and narrow: nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest
from playwright.sync_api import expect

from tests.e2e.page.axe import assert_accessible
from tests.e2e.page.conftest import MakeScreen, Served
from tests.e2e.page.sample_events import address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
MINUTE: Final = timedelta(minutes=1)


def list_of_events(shown: Screen, served: Served) -> None:
    """The usual sight."""
    shown.open(address(served.times.samples, MINUTE)).shows("6 events")
    expect(shown.page.locator(".plot")).to_be_visible()


def open_event(shown: Screen, served: Served) -> None:
    """An event with all it has, and a field with its values."""
    list_of_events(shown, served)
    shown.lines.first.click()
    if shown.page.locator(".fields > details:not([open])").count():
        shown.page.get_by_text("Fields", exact=True).click()
    shown.page.locator(".field summary").filter(has_text=re.compile(r"^user\d*$")).click()
    expect(shown.page.locator(".top-value").first).to_be_visible()


def completions(shown: Screen, served: Served) -> None:
    """A list of options below the filter."""
    list_of_events(shown, served)
    shown.filter.press_sequentially("s")
    expect(shown.page.get_by_role("option").first).to_be_visible()
    shown.filter.press("ArrowDown")


def wrong_filter(shown: Screen, served: Served) -> None:
    """A filter that cannot be read."""
    shown.open(address(served.times.samples, MINUTE, q="user:(root"))
    expect(shown.page.locator("#q-error")).to_be_visible()


def nothing_found(shown: Screen, served: Served) -> None:
    """No events."""
    shown.open(address(served.times.samples, MINUTE, q="absent", severity="HIGH,LOW")).shows("0 events")


def time_panel(shown: Screen, served: Served) -> None:
    """The choice of the time."""
    list_of_events(shown, served)
    shown.page.locator("#time").click()


def surroundings(shown: Screen, served: Served) -> None:
    """An event among its neighbours."""
    list_of_events(shown, served)
    shown.lines.first.click()
    shown.button("Surrounding events").click()
    expect(shown.page.locator(".event.marked")).to_be_visible()


def export(shown: Screen, served: Served) -> None:
    """The dialog of an export."""
    list_of_events(shown, served)
    shown.button("Export").click()


def help_of_keys(shown: Screen, served: Served) -> None:
    """The list of keys."""
    list_of_events(shown, served)
    shown.page.keyboard.press("?")


def key_dialog(shown: Screen, served: Served) -> None:
    """The question for a key."""
    list_of_events(shown, served)
    shown.page.locator("#key").click()


def overview(shown: Screen, served: Served) -> None:
    """All figures."""
    shown.open(address(served.times.samples, MINUTE, view="overview"))
    for name in ("cards", "histogram", "severities", "sources", "lag"):
        expect(shown.page.locator(f"#overview-{name} > *").first).to_be_visible()


def live(shown: Screen, served: Served) -> None:
    """The live view."""
    shown.open("#view=live")
    expect(shown.page.locator(".live-state, .notice").first).to_be_visible()


STATES: Final = (
    list_of_events, open_event, completions, wrong_filter, nothing_found, time_panel, surroundings, export,
    help_of_keys, key_dialog, overview, live,
)  # fmt: skip


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing_wrong(
    make_screen: MakeScreen, served: Served, state: Callable[[Screen, Served], None], width: int
) -> None:
    with make_screen(viewport={"width": width, "height": 800}, reduced_motion="reduce") as shown:
        state(shown, served)
        assert_accessible(shown)
