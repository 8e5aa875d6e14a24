"""The pictures of the README: `pytest tests/e2e/page/test_pictures.py --pictures` makes them anew."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.page.conftest import MakeScreen, Served, send
from tests.e2e.page.sample_events import address, written
from tests.e2e.page.screen import Screen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
HOUR: Final = timedelta(hours=1)
FOLDER: Final = Path(__file__).parents[3] / "docs/images"
_COLOURS: Final = 255


@pytest.fixture
def folder(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    """Where they are written: a run without the option leaves the repository as it is."""
    return FOLDER if pytestconfig.getoption("--pictures") else tmp_path


def take(shown: Screen, path: Path) -> None:
    """Writes a small picture of what is shown."""
    image = Image.open(io.BytesIO(shown.page.screenshot())).convert("RGB")
    path.parent.mkdir(exist_ok=True)
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < 150_000


@pytest.fixture(scope="module")
def hour(served: Served) -> str:
    """The address of an hour of realistic events."""
    start = served.times.pictures
    command = [sys.executable, "-m", "loadgen", "seed", "--count", "4000", "--span", "1h", "--start", written(start)]
    made = subprocess.run(command, capture_output=True, check=True, timeout=60)
    send(served.fleet, made.stdout.splitlines())
    return address(start, HOUR)


def test_the_search(make_screen: MakeScreen, hour: str, folder: Path) -> None:
    with make_screen(color_scheme="dark", timezone_id="UTC") as shown:
        shown.open(f"{hour}&q=user%3A*&field=attributes.user")
        expect(shown.page.locator(".top-value").first).to_be_visible()
        expect(shown.page.locator(".plot")).to_be_visible()
        expect(shown.page.locator("#completeness")).to_have_attribute("data-state", "good")
        shown.lines.first.focus()
        shown.page.keyboard.press("j")
        shown.page.keyboard.press("j")
        shown.page.keyboard.press("Enter")
        take(shown, folder / "search.png")


def test_the_overview(make_screen: MakeScreen, hour: str, folder: Path) -> None:
    with make_screen(color_scheme="dark", timezone_id="UTC") as shown:
        shown.open(f"{hour}&view=overview")
        for name in ("cards", "histogram", "severities", "sources", "lag"):
            expect(shown.page.locator(f"#overview-{name} > *").first).to_be_visible()
        take(shown, folder / "overview.png")


def test_a_narrow_window(make_screen: MakeScreen, hour: str, folder: Path) -> None:
    with make_screen(color_scheme="light", timezone_id="UTC", viewport={"width": 400, "height": 800}) as shown:
        shown.open(f"{hour}&severity=CRITICAL,HIGH,MEDIUM")
        expect(shown.lines.first).to_be_visible()
        expect(shown.page.locator("#completeness")).to_have_attribute("data-state", "good")
        expect(shown.page.locator(".plot")).to_be_visible()
        take(shown, folder / "narrow.png")
