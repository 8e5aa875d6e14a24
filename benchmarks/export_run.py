"""Exports of a million events, as the report tells them: rate, CPU and memory for each kind of file."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.bench_stack import BenchStack, bench_stack, cpu_s
from benchmarks.query_data import SPAN, fill_now, newest_end
from benchmarks.section import Figure, Section

ROWS = 1_000_000
QUICK_ROWS = 50_000
PARTITIONS = 4
ASKED_PER_S = 100_000
ASKED_MIB = 100
_READ_BYTES = 1 << 20
KINDS = (
    ("ndjson", "none"),
    ("ndjson", "gzip"),
    ("ndjson", "zstd"),
    ("csv", "none"),
    ("csv", "gzip"),
    ("parquet", "zstd"),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """One export, read as fast as it comes. Memory in MiB: the query API's before it, and its peak."""

    name: str
    rows: int
    bytes: int
    took_s: float
    api_cpu_s: float
    postgres_cpu_s: float
    before_mib: float
    peak_mib: float


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    rows = QUICK_ROWS if quick else ROWS
    end = newest_end()
    with bench_stack(PARTITIONS) as stack:
        fill_now(stack.dsn, stack.topic, PARTITIONS, rows, end)
        found = [_export(stack, end, form, compression) for form, compression in KINDS]
    return Section(
        f"Exports of {rows:,} rows",
        tuple(figure for exported in found for figure in figures(exported)),
        "Everything of seven days, newest first, by one client that throws it away. CPU is that of the query API and of"
        " PostgreSQL; memory is the query API's resident set, each time in a process of its own: the peak, and what"
        " that is above the set before the export.",
    )


def _export(stack: BenchStack, end: datetime, form: str, compression: str) -> Exported:
    process = stack.start("query")
    pid = process.pid
    try:
        export = _asked(stack, end, form, compression)
        before_mib = psutil.Process(pid).memory_info().rss / 2**20
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # the peak from now on
        api_s, postgres_s, started = cpu_s(pid), _postgres_cpu_s(stack), time.perf_counter()
        size_bytes = _read(f"{stack.url('query')}{export['rows_url']}")
        took_s = time.perf_counter() - started
        status = json.loads(urllib.request.urlopen(f"{stack.url('query')}/api/v1/exports/{export['id']}").read())
        assert status["status"] == "completed", status
        return Exported(
            f"{form}, {compression}",
            status["rows"],
            size_bytes,
            took_s,
            cpu_s(pid) - api_s,
            _postgres_cpu_s(stack) - postgres_s,
            before_mib,
            _peak_mib(pid),
        )
    finally:
        process.stop(10.0)


def _asked(stack: BenchStack, end: datetime, form: str, compression: str) -> dict[str, Any]:
    asked = {
        "start_time": (end - SPAN).isoformat(),
        "end_time": end.isoformat(),
        "format": form,
        "compression": compression,
    }
    request = urllib.request.Request(f"{stack.url('query')}/api/v1/exports", json.dumps(asked).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _read(url: str) -> int:
    size_bytes = 0
    with urllib.request.urlopen(url, timeout=600) as answer:
        while piece := answer.read(_READ_BYTES):
            size_bytes += len(piece)
    return size_bytes


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmHWM")


def _postgres_cpu_s(stack: BenchStack) -> float:
    server = psutil.Process(stack.postgres.pid)
    return cpu_s(*(process.pid for process in (server, *server.children(recursive=True))))


def figures(exported: Exported) -> tuple[Figure, Figure]:
    """The rate with what it cost, and the memory."""
    per_s = exported.rows / exported.took_s
    grown_mib = exported.peak_mib - exported.before_mib
    api_us, postgres_us = (s * 1e6 / exported.rows for s in (exported.api_cpu_s, exported.postgres_cpu_s))
    return (
        Figure(
            exported.name,
            f"{per_s:,.0f} rows/s, {exported.bytes / 2**20:.0f} MiB; CPU a row: query API {api_us:.2f},"
            f" PostgreSQL {postgres_us:.2f} us",
            f"{ASKED_PER_S:,} rows/s",
            per_s >= ASKED_PER_S,
        ),
        Figure(
            f"{exported.name}: memory",
            f"{grown_mib:.0f} MiB more, {exported.peak_mib:.0f} MiB in all",
            f"{ASKED_MIB} MiB more",
            grown_mib < ASKED_MIB,
        ),
    )
