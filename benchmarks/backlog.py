"""The stream application on a backlog of one-event records, beside a hand-written loop on the same records."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass

import asyncpg

from benchmarks.bench_stack import BenchStack, bench_stack, cpu_s
from benchmarks.records import produce
from benchmarks.section import Figure, Section

PARTITIONS = 8
_POLL_S = 0.05
_TIMEOUT_S = 180.0
EMPTY = (
    "TRUNCATE logs, consumer_offsets, log_rollup_minute, log_rollup_hour, log_rollup_total, log_count_minute,"
    " log_count_hour, log_foreign_ids, log_word_filters, dead_letters, process_metrics, process_metrics_folded;"
    " DROP TABLE IF EXISTS hand_offsets"
)


@dataclass(frozen=True, slots=True)
class Drain:
    """One run over the backlog, CPU in microseconds per event."""

    events_per_s: float
    own_us: float
    backend_us: float

    @property
    def us(self) -> float:
        """In all."""
        return self.own_us + self.backend_us


@dataclass(frozen=True, slots=True)
class Rounds:
    """The runs of each kind."""

    by_worker: list[Drain]
    with_word_filters: list[Drain]
    by_hand: list[Drain]


async def drain_by_worker(
    stack: BenchStack, connection: asyncpg.Connection[asyncpg.Record], events: int, *, word_filters: bool
) -> Drain:
    """Starts one worker, follows the stored offsets to the end, stops it. Counts from the first window on.

    What the worker had fetched by then counts as done before, although most of the work on it comes after.
    """
    group = {"THREATLOG_KAFKA_CONSUMER_GROUP": f"bench-{time.monotonic_ns()}"}
    worker = stack.start("stream", {**group, "THREATLOG_STORAGE_WORD_FILTERS": str(word_filters).lower()}, ready=False)
    first, before = 0, (0.0, 0.0, {0: 0.0})
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        done = int(await connection.fetchval("SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets"))
        if done and not first:
            before = (time.perf_counter(), cpu_s(worker.pid), await _backends_cpu_s(connection))
            first = done + _fetched_not_stored(stack)
        if done >= events:
            break
        await asyncio.sleep(_POLL_S)
    elapsed = time.perf_counter() - before[0]
    own, backends = cpu_s(worker.pid) - before[1], await _backends_cpu_s(connection)
    spent = sum(spent - before[2].get(pid, 0.0) for pid, spent in backends.items())
    measured = done - first
    worker.stop(10.0)
    stored = await connection.fetchrow("SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM logs")
    assert stored is not None
    assert stored["rows"] == stored["ids"] == events, f"stored {dict(stored)} of {events}"
    return Drain(measured / elapsed, own / measured * 1e6, spent / measured * 1e6)


async def _backends_cpu_s(connection: asyncpg.Connection[asyncpg.Record]) -> dict[int, float]:
    """CPU seconds of each of the worker's sessions, by process id."""
    found = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'threatlog-stream%'")
    return {row["pid"]: cpu_s(row["pid"]) for row in found}


def _fetched_not_stored(stack: BenchStack) -> int:
    """What the worker holds, by its own metrics."""
    with urllib.request.urlopen(f"{stack.url('stream')}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return int(next(float(line.split()[1]) for line in lines if line.startswith("threatlog_worker_buffered_events ")))


def drain_by_hand(stack: BenchStack, events: int) -> Drain:
    """Runs the hand-written loop in a process of its own."""
    arguments = [stack.bootstrap, stack.topic, stack.dsn, str(PARTITIONS), str(events)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hand_written", *arguments],
        env=stack.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=_TIMEOUT_S,
    )
    return Drain(**json.loads(done.stdout))


async def measure(stack: BenchStack, events: int, rounds: int) -> tuple[float, Rounds]:
    """Alternates them over the same records, so that a neighbour on the machine disturbs all alike."""
    size = await produce(stack.bootstrap, stack.topic, PARTITIONS, events)
    connection = await asyncpg.connect(stack.dsn)
    found = Rounds([], [], [])
    try:
        # The first worker makes the day partitions, which the loop needs too.
        await drain_by_worker(stack, connection, events, word_filters=False)
        for _ in range(rounds):
            await connection.execute(EMPTY)
            found.by_hand.append(drain_by_hand(stack, events))
            for drains, word_filters in ((found.by_worker, False), (found.with_word_filters, True)):
                await connection.execute(EMPTY)
                drains.append(await drain_by_worker(stack, connection, events, word_filters=word_filters))
    finally:
        await connection.close()
    return size, found


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    events, rounds = (200_000, 1) if quick else (1_000_000, 3)
    with bench_stack(PARTITIONS) as stack:
        size, found = asyncio.run(measure(stack, events, rounds))
    worker, hand, filtering = map(_median, (found.by_worker, found.by_hand, found.with_word_filters))
    return Section(
        f"Stream application: backlog of {events:,} records of {size:.0f} bytes, {PARTITIONS} partitions, one worker",
        _figures(worker, hand, filtering),
        f"The middle one of {rounds} rounds by cost, loop and worker in turn on the same records, the worker without"
        " and with `storage.word_filters`; rows and ids counted after each. Both decode, check and COPY with the same"
        " code; the loop reads with aiokafka's getmany, the worker whole record batches. What the worker had fetched"
        " when its first window was stored counts as done before. A backlog is not told to Redis window by window;"
        " Redis is rebuilt when it ends.",
    )


def _figures(worker: Drain, hand: Drain, filtering: Drain) -> tuple[Figure, ...]:
    ratio, filters_us = worker.own_us / hand.own_us, filtering.us - worker.us
    of_hand = f"{hand.own_us:.2f} and {hand.backend_us:.2f} us/event"
    return (
        Figure("rate", f"{worker.events_per_s:,.0f} events/s", "100,000", worker.events_per_s >= 100_000),
        Figure("worker CPU", f"{worker.own_us:.2f} us/event", "7", worker.own_us <= 7),
        Figure("PostgreSQL backend CPU", f"{worker.backend_us:.2f} us/event", ""),
        Figure("both together", f"{worker.us:.2f} us/event", "9", worker.us <= 9),
        Figure("hand-written loop: rate", f"{hand.events_per_s:,.0f} events/s", ""),
        Figure("hand-written loop: CPU, own and backend", of_hand, ""),
        Figure("worker against the loop, own CPU", f"{ratio:.2f} times", "1.2", ratio <= 1.2),
        Figure("with word filters: rate", f"{filtering.events_per_s:,.0f} events/s", ""),
        Figure("word filters, worker and backend", f"{filters_us:.2f} us/event", "2.5", filters_us <= 2.5),
    )


def _median(drains: list[Drain]) -> Drain:
    """The round in the middle by what it cost in all: its own figures belong together."""
    return sorted(drains, key=lambda drain: drain.us)[len(drains) // 2]
