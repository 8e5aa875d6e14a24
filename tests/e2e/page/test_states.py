"""What the page says where there is nothing, not all, not yet, or an error; and how one goes on from there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import pytest
from playwright.sync_api import expect

from tests.e2e.fleet import Part
from tests.e2e.page.axe import assert_accessible
from tests.e2e.page.conftest import MakeScreen, MoreQueries, Served
from tests.e2e.page.sample_events import BULK, SAMPLES, address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)


def url_of(part: Part) -> str:
    return part.ready_url.removesuffix("/readyz")


@pytest.fixture(scope="module")
def hasty(more_queries: MoreQueries) -> Iterator[Part]:
    """A query API whose searches stop after a slice, so that what takes long is seen with few events."""
    with more_queries(THREATLOG_QUERY_SEARCH_BUDGET="0.000001", THREATLOG_QUERY_STATEMENT_TIMEOUT="4s") as part:
        yield part


@pytest.fixture
def hurried(make_screen: MakeScreen, hasty: Part) -> Iterator[Screen]:
    """A window on it."""
    with make_screen(url_of(hasty)) as made:
        yield made


def test_where_nothing_fits_it_says_so_and_offers_a_way_on(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.samples, HOUR, q="absent", severity="LOW")).shows("0 events")
    empty = shown.page.locator(".notice.empty")
    expect(empty).to_contain_text("All of this range was looked at, and nothing fits.")
    empty.get_by_role("button", name="Without the filter").click()
    empty.get_by_role("button", name="All severities").wait_for(state="detached")
    shown.shows("21 events")
    shown.search("absent").shows("0 events")
    empty.get_by_role("button", name="All severities").click()
    shown.shows("0 events")
    shown.search("").shows(f"{SAMPLES} events")


def test_a_search_that_ended_early_says_how_far_it_came_and_is_continued(hurried: Screen, served: Served) -> None:
    hurried.open(address(served.times.bulk, HOUR, q="*eedl*"))
    partial = hurried.page.locator(".notice.partial")
    expect(partial).to_contain_text(re.compile(r"Scanned until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\."))
    expect(hurried.status).to_contain_text("0+ events")
    expect(hurried.page.locator(".histogram-note")).to_contain_text("Counted from")
    expect(hurried.page.locator(".unscanned")).to_have_count(1)
    assert_accessible(hurried)
    partial.get_by_role("button", name="Continue").click()
    expect(hurried.lines).to_have_count(1)
    expect(hurried.lines.first).to_contain_text("the needle")
    expect(hurried.page.get_by_text("That is all in this range.")).to_be_visible()
    expect(hurried.status).to_contain_text("1 event")


def test_what_is_slow_says_so_and_can_be_given_up(hurried: Screen, served: Served) -> None:
    hurried.open(address(served.times.samples, HOUR)).shows(f"{SAMPLES} events")
    postgres = served.fleet.stack.servers.postgres
    postgres.freeze()
    try:
        # Of nobody else's: what is kept in Redis is answered all the same.
        hurried.search("user:root port>=1")
        slow = hurried.page.locator(".notice.slow")
        expect(slow).to_contain_text(re.compile(r"Still searching \d+ s"))
        slow.get_by_role("button", name="Cancel").click()
        expect(hurried.page.locator(".notice.empty")).to_contain_text("The search was given up.")
        assert_accessible(hurried)
        hurried.button("Search again").click()
        failed = hurried.page.locator(".notice.failed")
        expect(failed).to_be_visible()
        expect(failed).to_contain_text(re.compile("50[34] · "))
    finally:
        postgres.thaw()
    hurried.page.wait_for_function("() => fetch('/readyz').then(answer => answer.ok)")
    failed.get_by_role("button", name="Try again").click()
    hurried.shows("90 events")


def test_axe_finds_nothing_wrong_while_a_search_is_slow(
    make_screen: MakeScreen, served: Served, more_queries: MoreQueries
) -> None:
    with more_queries(THREATLOG_QUERY_STATEMENT_TIMEOUT="60s") as part, make_screen(url_of(part)) as shown:
        # Few of them: axe looks at each, and the search must still be slow when it has.
        shown.open(address(served.times.samples, MINUTE)).shows("6 events")
        postgres = served.fleet.stack.servers.postgres
        postgres.freeze()
        try:
            shown.search("user:root port>=2")
            expect(shown.page.locator(".notice.slow")).to_be_visible()
            # The events of before are there, and may be read.
            expect(shown.page.locator(".list.stale .line").first).to_be_visible()
            assert_accessible(shown)
            expect(shown.page.locator(".notice.slow")).to_be_visible()
        finally:
            postgres.thaw()
        shown.shows("2 events")


def test_without_an_answer_it_says_so_and_tries_again(
    make_screen: MakeScreen, served: Served, more_queries: MoreQueries
) -> None:
    with more_queries() as part, make_screen(url_of(part)) as shown:
        shown.open(address(served.times.samples, HOUR)).shows(f"{SAMPLES} events")
        served.fleet.kill(part)
        shown.search("user:root")
        failed = shown.page.locator(".notice.failed")
        expect(failed).to_contain_text("The query API does not answer.")
        assert_accessible(shown, but_for=".events")
        expect(shown.page.locator("#completeness")).to_contain_text("no answer")
        expect(shown.page.locator("#completeness")).to_have_attribute("data-state", "unknown")
        served.fleet.restart(part)
        part.process.wait_http(part.ready_url)
        failed.get_by_role("button", name="Try again").click()
        shown.shows("90 events")


def test_a_newer_search_takes_the_place_of_one_that_is_still_asked(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.samples, HOUR)).shows(f"{SAMPLES} events")
    for user in ("root", "guest", "ansible", "backup", "root"):
        shown.search(f"user:{user} source:web-01")
    shown.shows("30 events")
    expect(shown.lines.first).to_contain_text("for root")


def test_the_oldest_of_many_events_is_found_in_one_search(shown: Screen, served: Served) -> None:
    shown.open(address(served.times.bulk, HOUR)).shows(f"{BULK:,} events")
    shown.search("needle").shows("1 event")
    expect(shown.lines.first).to_contain_text("the needle")
