"""The whole path on one machine, sender included: the highest rate, and freshness at three steady rates."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import asyncpg

from benchmarks.bench_stack import BenchStack, bench_stack, cpu_s
from benchmarks.section import Figure, Section

PARTITIONS = 12
# Rate in events/s, events in a request, freshness p99 asked in milliseconds.
STEADY = ((50_000, 1000, 1000), (10_000, 1000, 500), (100, 1, 500))


async def _stored(stack: BenchStack) -> tuple[int, int]:
    connection = await asyncpg.connect(stack.dsn)
    try:
        row = await connection.fetchrow("SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM logs")
    finally:
        await connection.close()
    assert row is not None
    return row["rows"], row["ids"]


def _load(stack: BenchStack, seconds: int, rate: int, batch: int, *extra: str) -> dict[str, Any]:
    concurrency = 8 if batch > 1 else 50
    arguments = ["--rps", str(rate), "--duration", f"{seconds}s", "--batch", str(batch), *extra]
    result: dict[str, Any] = json.loads(stack.loadgen(*arguments, "--concurrency", str(concurrency)).read_bytes())
    return result


def highest_rate(stack: BenchStack, seconds: int, pids: dict[str, int]) -> tuple[Figure, ...]:
    """As many events as are answered, in batches of 1,000; all must be stored exactly once."""
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    rows_before, _ = asyncio.run(_stored(stack))
    started = time.monotonic()
    result = _load(stack, seconds, 0, 1000, "--no-freshness")
    acknowledged = result["acked_events"]
    rows, ids = asyncio.run(_stored(stack))
    cpu = {name: (cpu_s(pid) - before[name]) / acknowledged * 1e6 for name, pid in pids.items()}
    exact = rows == ids and rows - rows_before == acknowledged
    rate = acknowledged / seconds
    shares = ", ".join(f"{name} {us:.2f}" for name, us in cpu.items())
    return (
        Figure(
            "rate, batches of 1,000, as fast as answered",
            f"{rate:,.0f} events/s for {seconds} s",
            "80,000",
            rate >= 80_000,
        ),
        Figure("stored exactly once", f"{rows - rows_before:,} rows of {acknowledged:,} acknowledged", "all", exact),
        Figure("all stored and verified after the start", f"{time.monotonic() - started:.0f} s"),
        Figure("CPU", f"{shares}, sender {result['cpu_us_per_event']:.2f} us/event"),
    )


def steady_rate(stack: BenchStack, seconds: int, rate: int, batch: int, asked_ms: int) -> Figure:
    """Freshness, from accepted to visible in the query API, at a steady rate."""
    result = _load(stack, seconds, rate, batch, "--probes", "10")
    freshness = result["freshness_ms"]
    words = f"p50 {freshness['p50']:.0f}, p99 {freshness['p99']:.0f} ms ({freshness['samples']} events followed)"
    kind = "single requests" if batch == 1 else f"events in batches of {batch:,}"
    return Figure(
        f"accepted to visible at {rate:,}/s, {kind}", words, f"{asked_ms} ms p99", freshness["p99"] <= asked_ms
    )


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    seconds = 10 if quick else 60
    with bench_stack(PARTITIONS) as stack:
        children = {name: stack.start(name) for name in ("gateway", "stream", "query")}
        pids = {name: child.pid for name, child in children.items()} | {"kafka": stack.kafka.pid}
        # The flood comes last: for a minute after it PostgreSQL vacuums seven million rows beside everything else.
        steady = [steady_rate(stack, 10 if quick else 30, *asked) for asked in reversed(STEADY)]
        figures = [*highest_rate(stack, seconds, pids), *steady]
    return Section(
        "The whole path: HTTP to PostgreSQL, everything and the sender on this machine",
        tuple(figures),
        "One gateway, one worker, one query API, real Kafka, PostgreSQL and Redis; `loadgen run` sends and verifies.",
    )
