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


def result_tables(result: RunResult, plan: Plan) -> list[Table]:
    """The end of a run: one table of counts, one of durations in milliseconds."""
    return [_counts(result, plan), _durations(result)]


def _counts(result: RunResult, plan: Plan) -> Table:
    report = result.report
    table = Table(title=f"Run {result.identity.name}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    asked = f"{plan.events_per_s:,g} events/s" if plan.events_per_s else "as fast as answered"
    rows = {
        "asked for": f"{asked}, {plan.batch:,} a request, {plan.concurrency:,} at once",
        "sent": f"{result.sent_events:,} events, {report.requests:,} requests",
        "acknowledged": f"{report.acked_events:,}",
        "refused": f"{report.by_fate[Fate.REFUSED]:,}",
        "not taken": f"{report.by_fate[Fate.NOT_TAKEN]:,}",
        "unknown (no answer, 5xx)": f"{report.by_fate[Fate.UNKNOWN]:,}",
        **{f"  {code}": f"{count:,} events" for code, count in report.by_code.most_common(8)},
        "retries": f"{report.retries:,}",
        f"late by over {LATE_S * 1000:.0f} ms": f"{report.late_requests:,} requests",
        "schedule": _schedule(result, plan),
        "acknowledged per second": f"{report.acked_per_s:,.0f} over {report.elapsed_s:.1f} s",
        "CPU of this process": _cpu_text(result),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _schedule(result: RunResult, plan: Plan) -> str:
    held = result.schedule_held(plan)
    if held is None:
        return "none"
    if held:
        return "held"
    if result.unsent_events:
        planned = result.sent_events + result.unsent_events
        return f"[bold red]NOT HELD: {result.unsent_events:,} of {planned:,} events not sent (behind or stopped)"
    return f"[bold red]NOT HELD: one request in 100 began {result.report.start_delay.p99:,.0f} ms late or later"


def _durations(result: RunResult) -> Table:
    report = result.report
    table = Table(title="Milliseconds", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in ("p50", "p95", "p99", "max", "samples"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, spread in (
        ("latency from its moment", report.latency),
        ("delay of the send", report.start_delay),
        ("freshness (acked to seen)", report.freshness),
    ):
        table.add_row(name, *_cells(spread), f"{spread.samples:,}")
    lost = {"never seen": report.never_seen, "queries failed": result.failed_probes, "left out": result.skipped_probes}
    notes = [f"{count:,} {what}" for what, count in lost.items() if count]
    if notes:
        table.caption = f"freshness: {', '.join(notes)}"
    return table


def _cells(spread: Spread) -> list[str]:
    return ["-" if value is None else f"{value:,.1f}" for value in (spread.p50, spread.p95, spread.p99, spread.max)]


def _cpu_text(result: RunResult) -> str:
    per_event_us = result.cpu_s * 1e6 / result.sent_events if result.sent_events else 0.0
    return f"{result.cpu_s:.1f} s, {per_event_us:.1f} us per event sent"
