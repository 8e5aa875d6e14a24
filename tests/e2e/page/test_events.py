"""Events in the list: opened, copied, searched from, with what was logged around them, and however large they are."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.page.conftest import MakeScreen, Served
from tests.e2e.page.sample_events import BIG_TEXT, EXACT, address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
MINUTE = timedelta(minutes=1)


def row(shown: Screen, name: str) -> Locator:
    """The field of the open event that is called so."""
    return shown.page.locator(".field-row").filter(has=shown.page.locator("dt", has_text=re.compile(f"^{name}$")))


def open_first(shown: Screen, served: Served, count: int = 6, **more: str) -> Screen:
    """The newest usual event of a minute, open."""
    shown.open(address(served.times.samples, MINUTE, **more)).shows(f"{count} events")
    shown.lines.first.click()
    return shown


def test_an_event_opens_with_all_it_has_and_the_link_opens_it_again(
    shown: Screen, served: Served, make_screen: MakeScreen
) -> None:
    open_first(shown, served)
    expect(shown.lines.first).to_have_attribute("aria-expanded", "true")
    for name, value in {"user": "guest", "client_ip": "203.0.113.5", "port": "40005", "geo.country": "NO"}.items():
        expect(row(shown, name).locator("bdi.text")).to_have_text(value)
    expect(row(shown, "timestamp").locator("bdi.text")).to_contain_text("00:50.123456")
    with make_screen() as other:
        other.open(f"#{shown.hash()}").shows("6 events")
        expect(row(other, "user").locator("bdi.text")).to_have_text("guest")
    shown.lines.first.click()
    expect(shown.page.locator(".detail")).to_have_count(0)
    assert "open" not in parse_qs(shown.hash())


def test_a_value_is_included_excluded_and_copied(make_screen: MakeScreen, served: Served) -> None:
    with make_screen(permissions=["clipboard-read", "clipboard-write"]) as shown:
        open_first(shown, served, 4, q="user:root OR user:guest")
        row(shown, "port").get_by_role("button", name="Exclude port").click()
        expect(shown.filter).to_have_value("(user:root OR user:guest) -attributes.port:40005")
        shown.shows("3 events")
        shown.lines.first.click()
        row(shown, "source").get_by_role("button", name="Include source").click()
        shown.shows("2 events")
        shown.lines.first.click()
        row(shown, "message").get_by_role("button", name="Copy message").click()
        expect(shown.page.locator("#announcer")).to_have_text("message copied")
        assert "Failed password" in shown.page.evaluate("navigator.clipboard.readText()")
        shown.button("Copy as JSON").click()
        expect(shown.page.locator("#announcer")).to_have_text("Event copied")
        copied = json.loads(shown.page.evaluate("navigator.clipboard.readText()"))
        assert copied["attributes"]["tags"] == ["ssh", "auth"]


def test_numbers_are_shown_and_copied_as_they_were_sent(make_screen: MakeScreen, served: Served) -> None:
    with make_screen(permissions=["clipboard-read", "clipboard-write"]) as shown:
        shown.open(address(served.times.special, MINUTE, q="source:exact")).shows("1 event")
        shown.lines.first.click()
        for name, text in re.findall(r'"(\w+)": ([^,}]+)', EXACT):
            expect(row(shown, name).locator("bdi.text")).to_have_text(text)
        shown.button("Copy as JSON").click()
        expect(shown.page.locator("#announcer")).to_have_text("Event copied")
        assert '"big": 9007199254740993,' in shown.page.evaluate("navigator.clipboard.readText()")
        row(shown, "big").get_by_role("button", name="Include big").click()
        expect(shown.filter).to_have_value("source:exact attributes.big:9007199254740993")
        shown.shows("1 event")


def test_nested_and_empty_values_have_fields_of_their_own(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.special, MINUTE, q="source:nested")).shows("1 event")
    shown.lines.first.click()
    names = shown.all_given(shown.page.locator(".field-row dt bdi"))
    assert names[4:-2] == ["a[0][0]", "a[0][1]", "a[1].b[0]", "a[1].b[1]", "a[1].b[2]", "empty", "e"]
    row(shown, re.escape("a[1].b[2]")).get_by_role("button", name="Include").click()
    shown.shows("1 event")


def test_a_control_character_is_seen(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.special, MINUTE, q="source:escape")).shows("1 event")
    shown.lines.first.click()
    expect(row(shown, "bell").locator(".control")).to_have_text("\u2407")


def test_large_texts_come_in_pieces_and_many_attributes_too(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.special, MINUTE)).shows("5 events")
    large = shown.lines.filter(has_text="large").first
    large.click()
    text = row(shown, "text").locator("bdi.text")
    assert shown.given(text) == BIG_TEXT[:4_000]
    row(shown, "text").get_by_role("button", name=re.compile("^show 50,000 more")).click()
    row(shown, "text").get_by_role("button", name=re.compile("^show 6,000 more")).click()
    assert shown.given(text) == BIG_TEXT
    large.click()
    shown.lines.filter(has_text="many attributes").first.click()
    expect(shown.page.locator(".field-row")).to_have_count(150)
    shown.button("show more fields", exact=False).click()
    shown.button("show more fields", exact=False).click()
    expect(shown.page.locator(".field-row")).to_have_count(2_006)


def test_surrounding_events_are_of_the_same_source_and_lead_back(shown: Screen, served: Served) -> None:
    open_first(shown, served)
    shown.button("Surrounding events").click()
    heading = shown.page.get_by_role("heading", name=re.compile("What web-03 logged around"))
    expect(heading).to_be_visible()
    expect(shown.lines).to_have_count(12)
    assert set(shown.all_given(shown.page.locator(".line .source"))) == {"web-03"}
    marked = shown.page.locator(".event.marked")
    expect(marked).to_have_count(1)
    expect(marked.locator(".line")).to_be_focused()
    shown.button("100 to each side").click()
    expect(shown.lines).to_have_count(102)
    shown.page.keyboard.press("Escape")
    shown.shows("6 events")
    shown.page.go_back()
    expect(heading).to_be_visible()


def test_times_are_shown_in_the_readers_zone_or_in_utc(make_screen: MakeScreen, served: Served) -> None:
    with make_screen(timezone_id="Asia/Kolkata") as shown:
        shown.open(address(served.times.samples, MINUTE)).shows("6 events")
        time = shown.lines.first.locator("time")
        local = served.times.samples + timedelta(hours=5, minutes=30, seconds=50)
        expect(time).to_have_text(f"{local:%Y-%m-%d %H:%M:%S}.123")
        expect(time).to_have_attribute("title", re.compile(rf"{local:%H:%M:%S}\.123456 .*Z$"))
        shown.button("Times in Asia/", exact=False).click()
        utc = served.times.samples + timedelta(seconds=50)
        expect(time).to_have_text(f"{utc:%Y-%m-%d %H:%M:%S}.123")
        shown.page.reload()
        expect(time).to_have_text(f"{utc:%Y-%m-%d %H:%M:%S}.123")


def test_everything_is_done_by_keys(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.samples, MINUTE)).shows("6 events")
    press = shown.page.keyboard.press
    press("/")
    expect(shown.filter).to_be_focused()
    shown.page.keyboard.type("jk?/ssh2")
    expect(shown.filter).to_have_value("jk?/ssh2")
    press("Control+a")
    shown.page.keyboard.type("ssh2")
    press("Escape")
    press("Enter")
    shown.shows("6 events")
    press("Escape")
    expect(shown.lines.nth(0)).to_be_focused()
    press("j")
    press("j")
    press("k")
    expect(shown.lines.nth(1)).to_be_focused()
    press("Enter")
    expect(shown.page.locator(".event").nth(1).locator(".detail")).to_be_visible()
    press("Escape")
    expect(shown.page.locator(".detail")).to_have_count(0)
    expect(shown.lines.nth(1)).to_be_focused()
    press("?")
    expect(shown.page.get_by_role("dialog", name="Keys")).to_be_visible()
    press("Escape")
    expect(shown.page.get_by_role("dialog", name="Keys")).to_be_hidden()
    press("3")
    expect(shown.page.get_by_role("heading", name="Top sources")).to_be_visible()
    press("1")
    shown.shows("6 events")


def test_only_one_line_is_a_stop_of_tab(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.samples, timedelta(minutes=20))).shows("120 events")
    expect(shown.page.locator(".line[tabindex='0']")).to_have_count(1)
    shown.lines.nth(98).focus()
    shown.page.keyboard.press("j")
    expect(shown.lines.nth(99)).to_be_focused()
    shown.page.keyboard.press("j")
    expect(shown.lines).to_have_count(120)
    expect(shown.lines.nth(100)).to_be_focused()
    expect(shown.page.locator(".line[tabindex='0']")).to_have_count(1)
