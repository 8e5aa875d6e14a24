"""The overview: what is stored, how fast, from where, and how far behind; and the line that is always there."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.e2e.page.conftest import MakeScreen, Served
from tests.e2e.page.sample_events import SAMPLES, address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
HOUR = timedelta(hours=1)


def test_the_overview_counts_and_leads_to_the_events(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.samples, HOUR, view="overview"))
    cards = shown.page.locator("#overview-cards")
    for name in ("Rate", "Stored", "Behind", "Latency", "Queries", "Up"):
        expect(cards.get_by_text(name, exact=True)).to_be_visible()
    expect(cards.locator(".card").nth(1).locator(".card-value")).to_have_text(re.compile(r"^\d+,\d{3}$"))
    severities = shown.page.get_by_role("region", name="By severity")
    expect(severities).to_contain_text(f"{SAMPLES} events in all.")
    storage = shown.page.get_by_role("region", name="Storage")
    expect(storage).to_contain_text("Everything accepted is stored.")
    expect(storage.get_by_role("row")).to_have_count(3)
    shown.page.get_by_role("region", name="Top sources").get_by_role("button", name="web-02").click()
    shown.shows("120 events")
    shown.page.go_back()
    severities.get_by_role("button", name="CRITICAL").click()
    shown.shows("22 events")


def test_how_complete_it_is_stands_on_every_view(shown: Screen, served: Served) -> None:
    for view in ("search", "live", "overview"):
        shown.open(address(served.times.samples, HOUR, view=view))
        line = shown.page.locator("#completeness")
        expect(line).to_contain_text(re.compile(r"Complete until \d\d:\d\d:\d\d"))
        expect(line).to_contain_text("nothing waits")
        expect(line).to_have_attribute("data-state", "good")


def test_the_theme_is_the_systems_until_one_is_chosen(make_screen: MakeScreen, served: Served) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with make_screen(color_scheme="dark") as shown:
        shown.open(address(served.times.samples, HOUR)).shows(f"{SAMPLES} events")
        dark = shown.page.evaluate(background)
        shown.button("Theme: system").click()
        light = shown.page.evaluate(background)
        assert light != dark
        shown.page.reload()
        expect(shown.button("Theme: light")).to_be_visible()
        assert shown.page.evaluate(background) == light
        shown.button("Theme: light").click()
        assert shown.page.evaluate(background) == dark


def test_a_narrow_window_shows_everything_without_scrolling_sideways(make_screen: MakeScreen, served: Served) -> None:
    with make_screen(viewport={"width": 400, "height": 800}, has_touch=True) as shown:
        for view in ("search", "live", "overview"):
            shown.open(address(served.times.samples, HOUR, view=view))
            expect(shown.page.locator("#completeness")).to_contain_text("Complete until")
            expect(shown.page.locator(".line, .card, .notice, .live-state").first).to_be_visible()
            assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400, view
        shown.open(address(served.times.samples, HOUR)).shows(f"{SAMPLES} events")
        shown.lines.first.tap()
        expect(shown.page.locator(".detail").first).to_be_visible()
        shown.page.get_by_text("Fields", exact=True).tap()
        expect(shown.page.locator(".field").first).to_be_visible()
        shown.page.locator("#time").tap()
        expect(shown.button("last 15 minutes")).to_be_visible()
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400
