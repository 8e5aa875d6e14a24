"""Rules of the plot: a PNG or a page that loads nothing, gaps where there was nothing to measure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadgen.plot import html_page, panels_of, write_plot
from loadgen.report import Second

SECONDS = [
    Second(0, 100, 90, 10, 5.0, 9.0, 120.0, 180.0),
    Second(1, 100, 110, 0, None, None, None, None),
    Second(2, 0, 5, 0, 7.0, 11.0, 130.0, 150.0),
]


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write_plot(path, "a <run> & more", SECONDS)
    text = path.read_text()
    assert "a &lt;run&gt; &amp; more" in text
    assert text.count("<svg") == 3
    assert not re.search(r"https?://|src=|href=|<script", text)


def test_a_picture_is_a_png(tmp_path: Path) -> None:
    path = tmp_path / "run.png"
    write_plot(path, "run", SECONDS)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_second_without_samples_is_a_gap() -> None:
    latency = panels_of(SECONDS)[1].curves[0]
    assert latency.values == (5.0, None, 7.0)
    assert html_page("t", panels_of(SECONDS)[1:2]).count("M7") >= 1


def test_an_empty_run_can_be_drawn(tmp_path: Path) -> None:
    for name in ("run.html", "run.png"):
        write_plot(tmp_path / name, "empty", [])
        assert (tmp_path / name).stat().st_size > 100


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png or \.html"):
        write_plot(tmp_path / "run.gif", "t", SECONDS)
