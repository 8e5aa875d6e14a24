"""What an analyst asks of ten million rows, without load and while events come in through gateway and worker."""

from __future__ import annotations

import asyncio
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from benchmarks.analyst import LINES, Measured, measure, measure_ids
from benchmarks.bench_stack import BenchStack, bench_stack, on_core_ms
from benchmarks.path import living_cpu_s, processes_of
from benchmarks.query import Asker, rfc3339
from benchmarks.query_data import fill_now, newest_end
from benchmarks.section import Figure, Section

ROWS = 10_000_000
QUICK_ROWS = 300_000
PARTITIONS = 12
RATE = 20_000
_SETTLING_S = 10.0
# More than `postgres.max_connections`.
_AT_ONCE = 24


async def _ids_and_sessions(stack: BenchStack, number: int) -> tuple[list[UUID], list[int]]:
    """Of some events, anywhere; and the process ids of the query API's sessions."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        found = await connection.fetch("SELECT id FROM logs TABLESAMPLE SYSTEM (1) ORDER BY random() LIMIT $1", number)
        sessions = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'threatlog-query'")
    finally:
        await connection.close()
    return [row["id"] for row in found], [row["pid"] for row in sessions]


def _open_sessions(stack: BenchStack, end: datetime) -> None:
    """Has the query API open all the sessions it may, by searches that take a while: later ones would not count."""

    def search(number: int) -> None:
        start, words = rfc3339(end - timedelta(days=7)), f"*opening{number}*"
        path = f"/api/v1/logs/query?start_time={start}&end_time={rfc3339(end)}&q={words}&limit=1"
        Asker(stack.url("query")).ask(path)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(search, range(_AT_ONCE)))


def _ask_all(stack: BenchStack, end: datetime, questions: int, query_pid: int) -> list[Measured]:
    asker = Asker(stack.url("query"))
    _open_sessions(stack, end)
    ids, sessions = asyncio.run(_ids_and_sessions(stack, questions + 5))

    def cpu_ms() -> float:
        return on_core_ms(query_pid, *sessions)

    return [*measure(asker, LINES, end, questions, cpu_ms), measure_ids(asker, ids, cpu_ms)]


def _under_load(
    stack: BenchStack, end: datetime, questions: int, children: dict[str, int]
) -> tuple[list[Measured], Figure]:
    """The same while `loadgen` sends; and what each part cost for each of its events."""
    with stack.under_load("--rps", str(RATE), "--batch", "1000", "--concurrency", "8", "--no-freshness") as result:
        time.sleep(_SETTLING_S)
        processes = processes_of(stack, children)
        before_s = time.monotonic()
        before = {name: living_cpu_s(pids) for name, pids in processes.items()}
        found = _ask_all(stack, end, questions, children["query"])
        took_s = time.monotonic() - before_s
        spent = {name: living_cpu_s(pids) - before[name] for name, pids in processes.items()}
    load = json.loads(result.read_bytes())
    shares = ", ".join(f"{name} {cpu_s / (RATE * took_s) * 1e6:.1f}" for name, cpu_s in spent.items())
    held = "" if load["schedule_held"] else f"; sent late at times, {load['unsent_events']:,} not at all"
    return found, Figure("CPU under load, questions included", f"{shares} us/event that came in{held}")


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    rows, questions = (QUICK_ROWS, 20) if quick else (ROWS, 200)
    end = newest_end()
    with bench_stack(PARTITIONS) as stack:
        took_s = fill_now(stack.dsn, stack.topic, PARTITIONS, rows, end)
        children = {name: stack.start(name).pid for name in ("gateway", "stream", "query")}
        runnable = os.getloadavg()[0]
        quiet = _ask_all(stack, end, questions, children["query"])
        loaded, costs = _under_load(stack, end, questions, children)
    figures = [figure for pair in zip(quiet, loaded, strict=True) for figure in _figures(*pair)]
    return Section(
        f"What an analyst asks of {rows:,} rows over 7 days, while {RATE:,} events/s come in",
        (*figures, costs),
        f"Over HTTP, over 24 hours unless said; up to {questions} questions of each kind, each with a range and words"
        f" of its own; every other range ends now. A cached answer is the same question again. CPU (p50 / p95) is the"
        f" time on a core, in ms, that an answer takes of the query API and its sessions in PostgreSQL, whatever else"
        f" the machine does. `no load` is before the first event is sent. VictoriaLogs' p50 / p95 are under the same"
        f" load on the same machine (from memory: a kill lost 10 s). Filling took {took_s:.0f} s."
        f" The load average was {runnable:.0f} before the first one: above the number of cores, times are others'.",
    )


def _figures(quiet: Measured, loaded: Measured) -> tuple[Figure, Figure]:
    """One line, without load and under it."""
    ratio = ""
    if loaded.line.peer is not None:
        ratio = f"; {loaded.line.peer[1] / loaded.p95:.1f}x as fast as VictoriaLogs at p95"
    name = loaded.line.name
    return (
        Figure(f"{name}: no load", quiet.words()),
        Figure(f"{name}: under load", loaded.words() + ratio, loaded.asked(), loaded.met),
    )
