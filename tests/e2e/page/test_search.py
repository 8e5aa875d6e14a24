"""Searching: typing, completing, choosing a time and severities, and reading what is found."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from tests.e2e.page.conftest import MakeScreen, Served
from tests.e2e.page.sample_events import BULK, SAMPLES, address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
HOUR: Final = timedelta(hours=1)


def samples(shown: Screen, served: Served, **more: str) -> Screen:
    """The hour of usual events."""
    shown.open(address(served.times.samples, HOUR, **more))
    return shown


def test_enter_shows_what_the_filter_finds_and_the_address_says_so(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    shown.search("user:root severity>=HIGH")
    shown.shows("11 events")
    assert parse_qs(shown.hash())["q"] == ["user:root severity>=HIGH"]
    expect(shown.lines).to_have_count(11)
    expect(shown.lines.first).to_contain_text("Failed password for root")


def test_back_and_forward_go_through_the_searches_and_a_link_shows_the_same(
    shown: Screen, served: Served, make_screen: MakeScreen
) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    shown.search("user:guest").shows("90 events")
    shown.search("user:guest source:web-01").shows("30 events")
    shown.page.go_back()
    shown.shows("90 events")
    expect(shown.filter).to_have_value("user:guest")
    shown.page.go_forward()
    shown.shows("30 events")
    with make_screen() as other:
        other.open(f"#{shown.hash()}").shows("30 events")
        expect(other.filter).to_have_value("user:guest source:web-01")


@pytest.mark.parametrize(
    ("q", "before", "wrong"),
    [("user:root (failed", "user:root (failed", ""), ("👩 root )", "👩 root ", ")"), ("a ) b", "a ", ")")],
    ids=["end", "astral", "middle"],
)
def test_a_filter_that_cannot_be_read_is_marked_where_it_is_wrong(
    shown: Screen, served: Served, q: str, before: str, wrong: str
) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    shown.search(q)
    error = shown.page.get_by_role("alert").filter(has_text=re.compile("at (its end|character)", re.I))
    expect(error).to_be_visible()
    expect(shown.filter).to_have_attribute("aria-invalid", "true")
    expect(shown.filter).to_have_attribute("aria-describedby", "q-error")
    mirror = shown.page.locator("#q-mirror")
    if before:
        assert mirror.evaluate("element => element.firstChild.textContent") == before
    if wrong:
        expect(mirror.locator("mark")).to_have_text(wrong)
    shown.search("user:root").shows("90 events")
    expect(error).to_be_hidden()


def test_fields_and_values_are_completed_by_keys(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    shown.filter.press_sequentially("use")
    options = shown.page.get_by_role("option")
    expect(options.first).to_contain_text("user:")
    shown.filter.press("ArrowDown")
    expect(shown.filter).to_have_attribute("aria-activedescendant", "completion-0")
    shown.filter.press("Enter")
    expect(options.first).to_contain_text(re.compile("ansible|backup|guest|root"))
    shown.filter.press_sequentially("gu")
    expect(options).to_have_count(1)
    shown.filter.press("ArrowDown")
    shown.filter.press("Tab")
    expect(shown.filter).to_have_value("attributes.user:guest ")
    shown.filter.press_sequentially("sev")
    expect(options.first).to_contain_text("severity:")
    shown.filter.press("Escape")
    expect(options).to_have_count(0)
    expect(shown.filter).to_have_value("attributes.user:guest sev")


def test_a_completion_is_taken_by_a_click(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    shown.filter.press_sequentially("severity:cr")
    shown.page.get_by_role("option", name="CRITICAL").click()
    expect(shown.filter).to_have_value("severity:CRITICAL ")
    shown.filter.press("Enter")
    shown.shows("22 events")


def test_severities_are_chosen_and_counted(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    chosen = shown.page.get_by_role("group", name="Severities")
    expect(chosen.get_by_role("button", name="CRITICAL, 22 events")).to_be_visible()
    chosen.get_by_role("button", name=re.compile("^CRITICAL")).click()
    shown.shows("22 events")
    chosen.get_by_role("button", name=re.compile("^HIGH")).click()
    shown.shows("44 events")
    assert parse_qs(shown.hash())["severity"] == ["CRITICAL,HIGH"]
    chosen.get_by_role("button", name="All severities").click()
    shown.shows(f"{SAMPLES} events")


def test_a_relative_time_is_chosen_or_typed(shown: Screen) -> None:
    shown.open()
    shown.button("Time range: last hour").click()
    shown.button("last 15 minutes").click()
    expect(shown.button("Time range: last 15 minutes")).to_be_focused()
    shown.button("Time range: last 15 minutes").click()
    shown.page.get_by_label("The last").fill("90x")
    shown.page.get_by_label("The last").press("Enter")
    expect(shown.page.get_by_role("dialog").get_by_role("alert").first).to_contain_text("A number and a unit")
    shown.page.get_by_label("The last").fill("90m")
    shown.page.get_by_label("The last").press("Enter")
    expect(shown.button("Time range: last 90 minutes")).to_be_visible()
    assert parse_qs(shown.hash())["last"] == ["90m"]


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0), ("Asia/Tokyo", 9)])
def test_an_absolute_time_is_typed_in_the_shown_zone(
    make_screen: MakeScreen, served: Served, zone: str, hours: int
) -> None:
    start = served.times.samples + timedelta(hours=hours)
    with make_screen(timezone_id=zone) as shown:
        shown.open()
        shown.page.locator("#time").click()
        shown.page.get_by_label("From").fill(f"{start:%Y-%m-%dT%H:%M:%S}")
        shown.page.get_by_label("To", exact=True).fill(f"{start + timedelta(minutes=10):%Y-%m-%dT%H:%M:%S}")
        shown.page.get_by_role("dialog").get_by_role("button", name="Show").last.click()
        shown.shows("60 events")


def test_a_part_of_the_histogram_is_dragged_over_and_zoomed_into(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    plot = shown.page.get_by_role("group", name="Histogram. 360 events", exact=False)
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    shown.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    shown.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    shown.page.mouse.up()
    expect(shown.status).to_contain_text(re.compile("^(89|90|91) events"))
    shown.page.go_back()
    shown.shows(f"{SAMPLES} events")


def test_bars_of_the_histogram_are_reached_by_keys(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    plot = shown.page.get_by_role("group", name="Histogram. 360 events", exact=False)
    plot.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        plot.press(key)
    expect(shown.page.locator(".histogram-note")).to_contain_text("6 events")
    plot.press("Enter")
    shown.shows("18 events")


def test_fields_show_their_values_which_are_included_and_excluded(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    fields = shown.page.get_by_role("complementary", name="Fields")
    fields.locator("summary").filter(has_text=re.compile(r"^user\d*$")).click()
    expect(fields.locator(".top-value")).to_have_count(4)
    fields.get_by_role("button", name="Exclude root").click()
    shown.shows("270 events")
    expect(shown.filter).to_have_value("-attributes.user:root")
    expect(fields.locator(".top-value")).to_have_count(3)
    fields.get_by_role("button", name="Include guest").click()
    shown.shows("90 events")
    assert parse_qs(shown.hash())["field"] == ["attributes.user"]


def test_pages_go_on_until_the_end(shown: Screen, served: Served) -> None:
    samples(shown, served).shows(f"{SAMPLES} events")
    for count in (200, 300, 360):
        shown.button("Next 100").click()
        expect(shown.lines).to_have_count(count)
    expect(shown.page.get_by_text("That is all in this range.")).to_be_visible()
    ids = shown.page.locator(".event").evaluate_all("events => events.map(event => event.id)")
    assert len(set(ids)) == SAMPLES


def test_the_range_is_moved_and_widened(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.samples, timedelta(minutes=10))).shows("60 events")
    shown.button("Later time range").click()
    shown.shows("60 events")
    shown.button("Zoom out").click()
    shown.shows("120 events")


def test_a_search_is_explained(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.bulk, HOUR, q="*eedle*")).shows("1 event")
    shown.button("Explain").click()
    explained = shown.page.locator(".explained")
    expect(explained).to_contain_text("Understood as *eedle*")
    expect(explained).to_contain_text(f"{BULK:,} events")
