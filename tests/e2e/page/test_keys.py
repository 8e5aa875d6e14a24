"""Where API keys are needed the page asks for one, says what is wrong with it, and shows it to nobody else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.page.conftest import MakeScreen, MoreQueries, Served
from tests.e2e.page.sample_events import SAMPLES, address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
HOUR = timedelta(hours=1)


def new_key(served: Served, scope: str) -> str:
    """Made as an operator makes one."""
    command = [sys.executable, "-m", "threatlog", "keys", "create", f"page-{scope}", "--scope", scope]
    made = subprocess.run(
        command, env=dict(served.fleet.stack.environment), capture_output=True, text=True, check=True, timeout=60
    )
    return made.stdout.strip()


@pytest.fixture(scope="module")
def keys(served: Served) -> dict[str, str]:
    """One of each kind that matters."""
    return {scope: new_key(served, scope) for scope in ("query", "metrics")}


@pytest.fixture(scope="module")
def guarded(keys: dict[str, str], more_queries: MoreQueries) -> Iterator[str]:
    """The address of a query API that wants keys."""
    with more_queries(THREATLOG_ACCESS_REQUIRED="always") as part:
        yield part.ready_url.removesuffix("/readyz")


def asked(shown: Screen) -> Locator:
    """The dialog that asks for a key."""
    return shown.page.get_by_role("dialog", name="API key")


def use(shown: Screen, key: str) -> None:
    """Types a key."""
    asked(shown).get_by_label("API key", exact=True).fill(key)
    asked(shown).get_by_role("button", name="Use this key").click()


def test_it_asks_for_a_key_and_shows_events_with_it(
    make_screen: MakeScreen, served: Served, guarded: str, keys: dict[str, str]
) -> None:
    with make_screen(guarded) as shown:
        refused: list[str] = []
        shown.page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)
        shown.open(address(served.times.samples, HOUR))
        expect(asked(shown)).to_contain_text("answers only who shows an API key with the scope query")
        # Failures are counted, and too many are turned away: one question is enough to learn that a key is needed.
        assert len(refused) == 1
        use(shown, "tlk_nonsense")
        expect(asked(shown).get_by_role("alert")).to_contain_text("This key is not known here.")
        assert len(refused) == 2
        use(shown, keys["query"])
        shown.shows(f"{SAMPLES} events")
        expect(shown.page.locator("#completeness")).to_contain_text("Complete until")
        expect(shown.button("API key: set")).to_be_visible()
        assert keys["query"] not in shown.page.url
        shown.page.reload()
        expect(asked(shown)).to_be_visible()


def test_a_key_without_the_scope_is_named_as_such(
    make_screen: MakeScreen, served: Served, guarded: str, keys: dict[str, str]
) -> None:
    with make_screen(guarded) as shown:
        shown.open(address(served.times.samples, HOUR))
        use(shown, keys["metrics"])
        alert = asked(shown).get_by_role("alert")
        expect(alert).to_contain_text("This key is good, but may not read events.")
        expect(alert).to_contain_text(re.compile("needs an API key with the scope query; yours has metrics"))
        expect(shown.page.locator("#key")).to_have_text("API key: lacks a scope")


def test_an_export_and_the_live_view_show_the_key_too(
    make_screen: MakeScreen, served: Served, guarded: str, keys: dict[str, str], tmp_path: Path
) -> None:
    with make_screen(guarded) as shown:
        # As in browsers that cannot ask where to put a file; nobody could answer here.
        shown.page.add_init_script("delete globalThis.showSaveFilePicker")
        shown.open(address(served.times.samples, HOUR, q="user:root"))
        use(shown, keys["query"])
        shown.shows("90 events")
        shown.button("Export").click()
        export = shown.page.get_by_role("dialog", name="Export")
        with shown.page.expect_download() as waited:
            export.get_by_role("button", name="Export").click()
        waited.value.save_as(tmp_path / "export")
        assert len((tmp_path / "export").read_bytes().splitlines()) == 90
        expect(export).to_contain_text("Done: 90 events.")
        export.get_by_role("button", name="Close").click()
        shown.page.keyboard.press("2")
        expect(shown.page.locator(".live-state")).to_have_text("Live")


def test_a_kept_key_is_there_after_a_reload_until_it_is_forgotten(
    make_screen: MakeScreen, served: Served, guarded: str, keys: dict[str, str]
) -> None:
    with make_screen(guarded) as shown:
        shown.open(address(served.times.samples, HOUR))
        asked(shown).get_by_label("Keep it until this tab is closed", exact=False).check()
        use(shown, keys["query"])
        shown.shows(f"{SAMPLES} events")
        shown.page.reload()
        shown.shows(f"{SAMPLES} events")
        shown.button("API key: set").click()
        asked(shown).get_by_role("button", name="Forget the key").click()
        expect(asked(shown).get_by_role("alert")).to_be_visible()
        assert shown.page.evaluate("sessionStorage.length") == 0
