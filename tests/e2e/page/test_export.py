"""A search is taken away as a file, with and without a key, and given up."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.page.conftest import MakeScreen, Served
from tests.e2e.page.sample_events import SAMPLES, address
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
HOUR = timedelta(hours=1)


def dialog(shown: Screen) -> Locator:
    """The export's."""
    return shown.page.get_by_role("dialog", name="Export")


def test_all_events_of_a_search_are_taken_away(shown: Screen, served: Served, tmp_path: Path) -> None:
    shown.open(address(served.times.samples, HOUR)).shows(f"{SAMPLES} events")
    shown.search("user:root").shows("90 events")
    shown.button("Export").click()
    dialog(shown).get_by_label("Compression").select_option("gzip")
    with shown.page.expect_download() as waited:
        dialog(shown).get_by_role("button", name="Export").click()
    download = waited.value
    assert download.suggested_filename.endswith(".ndjson.gz")
    download.save_as(tmp_path / "export")
    lines = gzip.decompress((tmp_path / "export").read_bytes()).splitlines()
    assert len(lines) == 90
    assert {json.loads(line)["attributes"]["user"] for line in lines} == {"root"}
    expect(dialog(shown)).to_contain_text("Done: 90 events.")


def test_a_table_is_safe_to_open(make_screen: MakeScreen, served: Served, tmp_path: Path) -> None:
    with make_screen() as shown:
        shown.open(address(served.times.hostile, HOUR))
        expect(shown.lines.first).to_be_visible()
        shown.button("Export").click()
        dialog(shown).get_by_label("Format").select_option("csv")
        with shown.page.expect_download() as waited:
            dialog(shown).get_by_role("button", name="Export").click()
        waited.value.save_as(tmp_path / "export")
        assert "'=1+1" in (tmp_path / "export").read_text(encoding="utf-8")
