"""What a run shows on the terminal: a progress bar while it sends, a table when it is done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadgen.drive import OpenLoop, Plan
from loadgen.outcome import Fate
from loadgen.report import LATE_S, RunReport, Spread
from loadgen.run import RunResult

_REFRESH_S: Final = 0.25
_PLAIN_LINE_EVERY: Final = 40  # Refreshes between two lines where no bar can be drawn: 10 s.


@dataclass(frozen=True, slots=True)
class TerminalDisplay:
    """A `RunDisplay` on a rich console; plain lines where the console is no terminal."""

    console: Console
    plan: Plan

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False)

    async def follow(self, report: RunReport, loop: OpenLoop) -> None:
        if self.console.is_terminal:
            await self._draw_bar(report, loop)
        else:
            await self._print_lines(report, loop)

    async def _draw_bar(self, report: RunReport, loop: OpenLoop) -> None:
        columns = (TextColumn("[bold]sending"), BarColumn(), TextColumn("{task.fields[now]}"), TimeElapsedColumn())
        # Its own refresh thread would take turns with the sender; this task redraws instead.
        with Progress(*columns, console=self.console, auto_refresh=False) as bar:
            total = self.plan.duration_s or None
            shown = bar.add_task("load", total=total, now="")
            try:
                while True:
                    self._redraw(bar, shown, report, loop)
                    await asyncio.sleep(_REFRESH_S)
            finally:
                self._redraw(bar, shown, report, loop)

    def _redraw(self, bar: Progress, shown: TaskID, report: RunReport, loop: OpenLoop) -> None:
        elapsed_s = asyncio.get_running_loop().time() - loop.start_s if loop.start_s else 0.0
        done_s = min(elapsed_s, self.plan.duration_s) if self.plan.duration_s else elapsed_s
        bar.update(shown, completed=done_s, now=_state(report, loop))
        bar.refresh()

    async def _print_lines(self, report: RunReport, loop: OpenLoop) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S * _PLAIN_LINE_EVERY)
            self.say(_state(report, loop))


def _state(report: RunReport, loop: OpenLoop) -> str:
    text = f"{loop.sent_events:,} sent, {report.acked_events:,} acknowledged, {report.acked_per_s:,.0f}/s"
    failed = report.by_fate.total() - report.acked_events
    return f"{text}, {failed:,} not" if failed else text


def result_table(result: RunResult, plan: Plan) -> Table:
    """The end of a run as a table: one row for each figure, durations as p50, p95, p99 and greatest."""
    report = result.report
    table = Table(title=f"Run {result.identity.name}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    asked = f"{plan.events_per_s:,g} events/s" if plan.events_per_s else "as fast as answered"
    rows = {
        "asked for": f"{asked}, {plan.batch:,} per request, at most {plan.concurrency:,} outstanding",
        "sent": f"{result.sent_events:,} events in {report.requests:,} requests",
        "acknowledged": f"{report.acked_events:,}",
        "refused": f"{report.by_fate[Fate.REFUSED]:,}",
        "not taken": f"{report.by_fate[Fate.NOT_TAKEN]:,}",
        "unknown (time-outs, lost connections, 5xx)": f"{report.by_fate[Fate.UNKNOWN]:,}",
        "retries": f"{report.retries:,}",
        "not sent (behind schedule or stopped)": f"{result.unsent_events:,}",
        "acknowledged per second": f"{report.acked_per_s:,.0f} over {report.elapsed_s:.1f} s",
        "latency from intended send": _spread_text(report.latency),
        f"late (began > {LATE_S * 1000:.0f} ms after its moment)": f"{report.late_requests:,} requests",
        "delay of the send": _spread_text(report.start_delay),
        "freshness (acknowledged to visible)": _freshness_text(result),
        "CPU of this process": _cpu_text(result),
    }
    for code, count in report.by_code.most_common(8):
        rows[f"  not acknowledged: {code}"] = f"{count:,} events"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _spread_text(spread: Spread) -> str:
    if spread.p50 is None:
        return "no samples"
    parts = (spread.p50, spread.p95, spread.p99, spread.max)
    return " / ".join(f"{value:,.1f}" for value in parts if value is not None) + " ms (p50 / p95 / p99 / max)"


def _freshness_text(result: RunResult) -> str:
    text = f"{_spread_text(result.report.freshness)}, {result.report.freshness.samples:,} samples"
    if result.report.never_seen:
        text += f", {result.report.never_seen:,} never seen"
    if result.failed_probes:
        text += f", {result.failed_probes:,} failed queries"
    return text


def _cpu_text(result: RunResult) -> str:
    per_event_us = result.cpu_s * 1e6 / result.sent_events if result.sent_events else 0.0
    return f"{result.cpu_s:.1f} s, {per_event_us:.1f} us per event sent"
