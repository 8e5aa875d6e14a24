"""Runs axe on what a window shows now."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import axe_playwright_python

from tests.e2e.page.screen import Screen

_AXE: Final = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
_OPTIONS: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


def assert_accessible(shown: Screen, *, but_for: str | None = None) -> None:
    """Nothing is wrong, in the light theme and in the dark one; `but_for` what is selected: many lines take long."""
    shown.page.evaluate(_AXE)
    for theme in ("light", "dark"):
        shown.page.emulate_media(color_scheme=theme)
        found: dict[str, Any] = shown.page.evaluate(
            "([exclude, options]) => axe.run({ include: document, exclude }, options)",
            [[but_for] if but_for else [], _OPTIONS],
        )
        faults = [
            f"{fault['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for fault in found["violations"]
            for node in fault["nodes"]
        ]
        assert not faults, "\n".join([theme, *faults])
