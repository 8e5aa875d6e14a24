"""The whole path on one machine, sender included: how much is stored, and freshness at three steady rates."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from typing import Any

import asyncpg
import psutil

from benchmarks.bench_stack import BenchStack, bench_stack, cpu_s
from benchmarks.section import Figure, Section

PARTITIONS = 12
# Rate in events/s, events in a request, freshness p99 asked in milliseconds.
STEADY = ((100, 1, 500), (10_000, 1000, 500), (50_000, 1000, 1000))
_LOOK_EVERY_S = 0.2


class StoredFollower:
    """Notes over time how many records of the topic are stored, in a thread of its own."""

    def __init__(self, stack: BenchStack) -> None:
        self._dsn = stack.dsn
        self._ended = threading.Event()
        self._seen: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True)
        self._thread.start()

    async def _follow(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        while not self._ended.is_set():
            stored = await connection.fetchval("SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_offsets")
            self._seen.append((time.time(), stored))
            await asyncio.sleep(_LOOK_EVERY_S)
        await connection.close()

    def when_stored(self, events: int) -> float:
        """When `events` more than at the start were stored (unix seconds). Ends the following."""
        self._ended.set()
        self._thread.join(10)
        wanted = self._seen[0][1] + events
        return next(at for at, stored in self._seen if stored >= wanted)


async def _rows(stack: BenchStack) -> tuple[int, int]:
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


def processes_of(stack: BenchStack, children: dict[str, int]) -> dict[str, list[int]]:
    """The process ids of each part; PostgreSQL has one for each connection."""
    postgres = psutil.Process(stack.postgres.pid)
    return {name: [pid] for name, pid in children.items()} | {
        "Kafka": [stack.kafka.pid],
        "PostgreSQL": [postgres.pid, *(child.pid for child in postgres.children(recursive=True))],
        "Redis": [stack.redis.pid],
    }


def living_cpu_s(pids: list[int]) -> float:
    """CPU seconds of those that still run; PostgreSQL's vacuum workers come and go."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += cpu_s(pid)
    return total


def highest_rate(stack: BenchStack, seconds: int, children: dict[str, int], *, attributes: bool) -> tuple[Figure, ...]:
    """As many events as are answered, in batches of 1,000; all must be stored exactly once.

    The rate is that of storing: from the first event sent to the commit of the last one, however long that took.
    """
    kind = "with attributes" if attributes else "without attributes"
    rows_before, _ = asyncio.run(_rows(stack))
    processes = processes_of(stack, children)
    before = {name: living_cpu_s(pids) for name, pids in processes.items()}
    follower = StoredFollower(stack)
    result = _load(stack, seconds, 0, 1000, "--no-freshness", "--attributes" if attributes else "--no-attributes")
    cpu = {name: living_cpu_s(pids) - before[name] for name, pids in processes.items()}
    acknowledged = result["acked_events"]
    stored_after_s = follower.when_stored(acknowledged) - result["first_sent_unix_s"]
    rows, ids = asyncio.run(_rows(stack))
    exact = rows == ids and rows - rows_before == acknowledged
    rate = acknowledged / stored_after_s
    shares = ", ".join(f"{name} {cpu_time / acknowledged * 1e6:.2f}" for name, cpu_time in cpu.items())
    return (
        Figure(
            f"stored, batches of 1,000 {kind}, sent for {seconds} s as fast as answered",
            f"{rate:,.0f} events/s until all were stored, {stored_after_s:.0f} s after the first was sent",
            "80,000",
            rate >= 80_000,
        ),
        Figure(f"accepted meanwhile, {kind}", f"{acknowledged / seconds:,.0f} events/s"),
        Figure(f"stored exactly once, {kind}", f"{rows - rows_before:,} rows of {acknowledged:,}", "all", exact),
        Figure(f"CPU, {kind}", f"{shares}, sender {result['cpu_us_per_event']:.2f} us/event"),
    )


def steady_rate(stack: BenchStack, seconds: int, rate: int, batch: int, asked_ms: int) -> Figure:
    """Freshness, from accepted to visible in the query API, at a steady rate that was really sent."""
    result = _load(stack, seconds, rate, batch, "--probes", "10")
    freshness = result["freshness_ms"]
    followed = freshness["samples"] + result["never_seen"]
    held = result["schedule_held"] and not result["never_seen"] and not result["skipped_probes"]
    words = f"p50 {freshness['p50']:.0f}, p99 {freshness['p99']:.0f} ms ({followed} events followed"
    words += ")" if held else f"; rate not held: {result['unsent_events']:,} not sent, {result['never_seen']} not seen)"
    kind = "single requests" if batch == 1 else f"events in batches of {batch:,}"
    return Figure(
        f"accepted to visible at {rate:,}/s, {kind}",
        words,
        f"{asked_ms} ms p99",
        bool(held and freshness["p99"] <= asked_ms),
    )


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    seconds = 10 if quick else 60
    with bench_stack(PARTITIONS) as stack:
        services = {name: stack.start(name) for name in ("gateway", "stream", "query")}
        # The flood comes last: for a minute after it PostgreSQL vacuums seven million rows beside everything else.
        steady = [steady_rate(stack, 10 if quick else 30, *asked) for asked in STEADY]
        services["stream"].stop(10.0)
        services["stream"] = stack.start("stream", {"THREATLOG_STORAGE_WORD_FILTERS": "false"})
        children = {name: service.pid for name, service in services.items()}
        floods = [highest_rate(stack, seconds, children, attributes=attributes) for attributes in (False, True)]
        figures = [*floods[0], *floods[1], *steady]
    return Section(
        "The whole path: HTTP to PostgreSQL, everything and the sender on this machine",
        tuple(figures),
        "One gateway, one worker, one query API, real Kafka, PostgreSQL and Redis; `loadgen run` sends its security"
        " events and verifies. As records they have about 290 bytes, 416 with their attributes, which the steady rates"
        " have. PostgreSQL's CPU is all of it, queries and vacuum too. The steady rates are with word filters, the"
        " floods with `storage.word_filters: false`.",
    )
