"""The live view: events as they come, held back while it is paused, and taken up again where it broke."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from tests.e2e.page.conftest import MakeScreen, MoreQueries, Served
from tests.e2e.page.sample_events import written
from tests.e2e.page.screen import Screen
from tests.processes import http_json

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def send(served: Served, source: str, *messages: str) -> None:
    """Events of now."""
    logs = [
        {"timestamp": written(datetime.now(UTC)), "severity": "HIGH", "source": source, "message": message}
        for message in messages
    ]
    status, _ = http_json(f"{served.fleet.gateway_url}/api/v1/logs/ingest/batch", {"logs": logs})
    assert status == 201


def watch(shown: Screen, source: str) -> Screen:
    """The live view of one source, connected."""
    shown.open(f"#view=live&q=source:{source}")
    expect(shown.page.locator(".live-state")).to_have_text("Live")
    return shown


def test_events_come_by_themselves_newest_first_and_only_those_that_are_wanted(shown: Screen, served: Served) -> None:
    watch(shown, "live-1")
    send(served, "live-1", "the first")
    expect(shown.lines).to_have_count(1)
    send(served, "other", "of another source")
    send(served, "live-1", "<b>the second</b>")
    expect(shown.lines).to_have_count(2)
    expect(shown.lines.first).to_contain_text("<b>the second</b>")
    expect(shown.page.locator("#announcer")).to_have_text(re.compile("new event"))
    shown.lines.first.click()
    expect(shown.page.locator(".detail")).to_contain_text("live-1")
    # Whoever reads an event does not want it moved away.
    expect(shown.button("Resume")).to_be_visible()


def test_a_pause_holds_back_and_counts(shown: Screen, served: Served) -> None:
    watch(shown, "live-2")
    shown.button("Pause").click()
    send(served, "live-2", "one", "two", "three")
    expect(shown.status).to_contain_text("3 new since the pause")
    expect(shown.lines).to_have_count(0)
    shown.page.locator("h1").click()
    shown.page.keyboard.press("p")
    expect(shown.lines).to_have_count(3)
    expect(shown.button("Pause")).to_be_visible()
    shown.button("Clear").click()
    expect(shown.lines).to_have_count(0)


def test_more_than_can_be_shown_is_counted_and_the_newest_stay(shown: Screen, served: Served) -> None:
    watch(shown, "live-3")
    shown.button("Pause").click()
    send(served, "live-3", *(f"number {n}" for n in range(700)))
    expect(shown.status).to_contain_text("700 new since the pause")
    shown.button("Resume").click()
    expect(shown.lines).to_have_count(500)
    expect(shown.page.locator(".live-notes")).to_contain_text("200 events came too fast to show")


def test_what_came_while_it_was_interrupted_is_there_afterwards(
    make_screen: MakeScreen, served: Served, more_queries: MoreQueries
) -> None:
    with more_queries() as part, make_screen(part.ready_url.removesuffix("/readyz")) as shown:
        watch(shown, "live-4")
        send(served, "live-4", "before")
        expect(shown.lines).to_have_count(1)
        served.fleet.kill(part)
        expect(shown.page.locator(".live-state")).to_contain_text("Interrupted; again in")
        send(served, "live-4", "meanwhile")
        served.fleet.restart(part)
        part.process.wait_http(part.ready_url)
        send(served, "live-4", "after")
        expect(shown.page.locator(".live-state")).to_have_text("Live")
        expect(shown.lines).to_have_count(3)
        # Partitions catch up side by side, so of the two later ones either may come first.
        *later, first = shown.all_given(shown.page.locator(".line .message"))
        assert (set(later), first) == ({"after", "meanwhile"}, "before")


def test_a_wrong_filter_is_said_where_it_is_wrong(shown: Screen) -> None:
    shown.open("#view=live&q=(x")
    expect(shown.page.locator("#q-error")).to_contain_text("a closing parenthesis is missing")
    expect(shown.page.locator(".notice.failed")).to_be_visible()
