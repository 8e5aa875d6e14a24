"""Rate, latency and freshness over time, as a PNG or as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadgen.report import Second

SUFFIXES: Final = (".png", ".html")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 200, 70, 24


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a panel; None leaves a gap."""

    label: str
    colour: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share an axis."""

    title: str
    curves: tuple[Curve, ...]


def panels_of(seconds: Sequence[Second]) -> tuple[Panel, ...]:
    """What is drawn: events per second, latency and freshness in milliseconds, one value for each second."""
    return (
        Panel(
            "events per second",
            (
                Curve("sent", "#9aa5b1", tuple(s.sent for s in seconds)),
                Curve("acknowledged", "#2b7a3d", tuple(s.acked for s in seconds)),
                Curve("not acknowledged", "#c0392b", tuple(s.not_acked for s in seconds)),
            ),
        ),
        Panel(
            "latency from the intended send, ms",
            (
                Curve("p50", "#2563a8", tuple(s.latency_p50_ms for s in seconds)),
                Curve("p99", "#d2691e", tuple(s.latency_p99_ms for s in seconds)),
            ),
        ),
        Panel(
            "freshness (acknowledged to visible), ms",
            (
                Curve("p50", "#2563a8", tuple(s.freshness_p50_ms for s in seconds)),
                Curve("max", "#d2691e", tuple(s.freshness_max_ms for s in seconds)),
            ),
        ),
    )


def write_plot(path: Path, title: str, seconds: Sequence[Second]) -> None:
    """Draws into `path`, whose suffix chooses the kind. Raises ValueError for another suffix, OSError from writing."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name!r} must end in {' or '.join(SUFFIXES)}")
    panels = panels_of(seconds)
    if path.suffix == ".html":
        path.write_text(html_page(title, panels), encoding="utf-8")
    else:
        _draw_png(path, title, panels)


def html_page(title: str, panels: Sequence[Panel]) -> str:
    """A page with one inline SVG for each panel; it loads nothing."""
    body = "\n".join(f"<h2>{html.escape(panel.title)}</h2>\n{_svg(panel)}" for panel in panels)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        "<style>body{font:14px sans-serif;margin:2em;color:#1f2933}h2{font-size:15px;margin:1.2em 0 .2em}</style>"
        f"</head>\n<body><h1>{html.escape(title)}</h1>\n{body}\n"
        "<p>Seconds since the start of the run.</p></body></html>\n"
    )


def _svg(panel: Panel) -> str:
    length = max((len(curve.values) for curve in panel.curves), default=0)
    top = max((value for curve in panel.curves for value in curve.values if value is not None), default=0.0) or 1.0
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _BOTTOM}" width="{_WIDTH}" role="img">']
    for share in (0.0, 0.5, 1.0):
        y = _HEIGHT - share * (_HEIGHT - 16)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}" stroke="#dde3ea"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * share:,.4g}</text>')
    for second in range(0, max(length, 1), max(1, length // 10)):
        x = _x_of(second, length)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT + 18}" text-anchor="middle">{second}</text>')
    for place, curve in enumerate(panel.curves):
        parts.append(
            f'<path d="{_path(curve.values, length, top)}" fill="none" stroke="{curve.colour}" stroke-width="1.6"/>'
        )
        parts.append(
            f'<text x="{_LEFT + 10 + 150 * place}" y="12" fill="{curve.colour}">{html.escape(curve.label)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _x_of(second: int, length: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - 10) * second / max(length - 1, 1)


def _path(values: Sequence[float | None], length: int, top: float) -> str:
    commands: list[str] = []
    drawing = False
    for second, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        y = _HEIGHT - value / top * (_HEIGHT - 16)
        commands.append(f"{'L' if drawing else 'M'}{_x_of(second, length):.1f} {y:.1f}")
        # A sample between two gaps would be an invisible line of no length.
        if not drawing:
            commands.append("h1")
        drawing = True
    return "".join(commands)


def _draw_png(path: Path, title: str, panels: Sequence[Panel]) -> None:
    # Imported here: it takes half a second, and only this needs it. The figure is made without pyplot's globals.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3 * len(panels)), layout="constrained")
    figure.suptitle(title)
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, place + 1)
        axes.set_title(panel.title, loc="left", fontsize=10)
        for curve in panel.curves:
            values = [float("nan") if value is None else value for value in curve.values]
            axes.plot(range(len(values)), values, label=curve.label, color=curve.colour, marker=".", markersize=3)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right", fontsize=8)
    axes.set_xlabel("seconds since the start of the run")
    figure.savefig(path, dpi=110)
