"""`threatlog lag`: how far storage is behind Kafka, asked of both directly, so right when nothing else lives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from query_api.kafka_lag import KafkaLog
from query_api.lag_monitor import Clocks, LagMonitor, LagReport
from query_api.postgres_pools import connections
from query_api.postgres_reader import PostgresReader, ReaderMemory
from threatlog.process.settings import Settings

_STATEMENT_TIMEOUT_S: Final = 3.0
_INTERVAL_S: Final = 1.0
EXIT_UNKNOWN: Final = 1


def run(settings: Settings, *, watch: bool) -> int:
    """Prints the table once, or each second until Ctrl-C. Returns 1 when Kafka or PostgreSQL did not answer."""
    # What does not answer is said in the table; the clients' own log lines would only repeat it.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        return asyncio.run(_run(settings, watch=watch))
    except KeyboardInterrupt:
        return 0


def _now() -> datetime:
    return datetime.now(UTC)


async def _run(settings: Settings, *, watch: bool) -> int:
    topic = settings.kafka.topic
    store = PostgresReader(
        await connections(settings.postgres, _STATEMENT_TIMEOUT_S), topic, ReaderMemory.empty(time.monotonic)
    )
    kafka = KafkaLog(settings.kafka, _now)
    monitor = LagMonitor(topic, kafka, store, Clocks(_now, time.monotonic))
    console = Console()
    try:
        await monitor.refresh()
        if watch:
            await _watch(monitor, console)
        return await _print_once(monitor, console)
    finally:
        await kafka.close()
        await store.close(1.0)


async def _print_once(monitor: LagMonitor, console: Console) -> int:
    if not monitor.report().stale:
        # Rates, and the time to catch up, need a second look.
        await asyncio.sleep(_INTERVAL_S)
        await monitor.refresh()
    report = monitor.report()
    console.print(render(report))
    return EXIT_UNKNOWN if report.stale else 0


async def _watch(monitor: LagMonitor, console: Console) -> NoReturn:
    with Live(render(monitor.report()), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            await monitor.refresh()
            live.update(render(monitor.report()), refresh=True)


def render(report: LagReport) -> RenderableType:
    """The report as a table: a row for each partition, the sums below."""
    table = Table(title=f"Lag of {report.topic}", caption=_caption(report), caption_justify="left")
    for heading in ("partition", "end offset", "stored up to", "lag", "oldest unstored", "caught up in"):
        table.add_column(heading, justify="right")
    table.add_column("worker")
    for entry in report.partitions:
        worker = "none yet" if entry.worker is None else entry.worker.name
        if entry.worker is not None and not entry.worker.alive:
            worker += " (silent)"
        stored = "-" if entry.next_offset is None else f"{entry.next_offset:,}"
        age = _or_dash(entry.oldest_unstored_age_s, lambda age_s: f"{age_s:,.1f} s")
        catch_up = _or_dash(entry.seconds_to_catch_up, lambda wait_s: f"{wait_s:,.0f} s")
        table.add_row(str(entry.partition), f"{entry.end_offset:,}", stored, f"{entry.lag:,}", age, catch_up, worker)
    return table


def _or_dash(value: float | None, shown: Callable[[float], str]) -> str:
    return "-" if value is None else shown(value)


def _caption(report: LagReport) -> str:
    lines = []
    if report.total is not None:
        total = report.total
        rates = ", ".join(
            f"{name} {_or_dash(rate, lambda value: f'{value:,.0f}/s')}"
            for name, rate in (("appended", total.appended_per_second), ("stored", total.stored_per_second))
        )
        lines.append(f"total {total.lag:,} ({rates})")
        if total.lag:
            catch_up = _or_dash(total.seconds_to_catch_up, lambda value: f"in about {value:,.0f} s")
            lines.append(f"caught up: {catch_up if catch_up != '-' else 'not at this rate'}")
    if report.complete_until is not None:
        lines.append(f"everything accepted before {report.complete_until.isoformat()} is stored")
    if report.detail is not None:
        lines.append(f"{'stale: ' if report.stale else ''}{report.detail}")
    return "\n".join(lines)
