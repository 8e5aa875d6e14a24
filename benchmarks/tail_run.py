"""The live tail: from the acceptance of an event until it is there, the first one of a tail and later ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.query import percentile
from benchmarks.section import Figure, Section

PARTITIONS: Final = 12
RATE: Final = 20_000
TAILS: Final = 40
EVENTS: Final = 10
ASKED_MS: Final = 500.0
_TIMEOUT_S: Final = 30.0


@contextmanager
def _tail(client: httpx.Client, source: str) -> Iterator[Iterator[str]]:
    """The lines of a tail of one source, from the one on that says where it begins."""
    with client.stream("GET", "/api/v1/logs/tail", params={"q": f'source:"{source}"'}) as answer:
        answer.raise_for_status()
        lines = answer.iter_lines()
        next(line for line in lines if line == "event: position")
        yield lines


def _arrives_ms(gateway: httpx.Client, lines: Iterator[str], source: str, number: int) -> float:
    """Sends one event, and waits until the tail has it; 0 where that was before the gateway's answer."""
    word = f"tailed-{number}"
    gateway.post("/api/v1/logs/ingest", json={"severity": "LOW", "source": source, "message": word}).raise_for_status()
    accepted_s = time.perf_counter()
    next(line for line in lines if line.startswith("data:") and word in line)
    return (time.perf_counter() - accepted_s) * 1000


def _measured(stack: BenchStack, tails: int, name: str) -> tuple[Figure, Figure]:
    first: list[float] = []
    later: list[float] = []
    with (
        httpx.Client(base_url=stack.url("query"), timeout=_TIMEOUT_S) as query,
        httpx.Client(base_url=stack.url("gateway"), timeout=_TIMEOUT_S) as gateway,
    ):
        for number in range(tails):
            source = f"tailed {name} {number}"
            with _tail(query, source) as lines:
                times = [_arrives_ms(gateway, lines, source, event) for event in range(EVENTS + 1)]
            first.append(times[0])
            later += times[1:]
    worst = max(first)
    return (
        Figure(f"first event of a tail, {name}", _words(first), f"{ASKED_MS:.0f} ms", worst <= ASKED_MS),
        Figure(f"later events, {name}", _words(later)),
    )


def _words(times: list[float]) -> str:
    p50, p95 = percentile(tuple(times), 0.5), percentile(tuple(times), 0.95)
    return f"p50 {p50:.1f}, p95 {p95:.1f}, worst of {len(times)} {max(times):.1f} ms"


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    tails = 5 if quick else TAILS
    with bench_stack(PARTITIONS) as stack:
        for name in ("gateway", "stream", "query"):
            stack.start(name)
        figures = [*_measured(stack, tails, "no load")]
        with stack.under_load("--rps", str(RATE), "--batch", "1000", "--concurrency", "8", "--no-freshness"):
            time.sleep(2.0 if quick else 8.0)
            figures += _measured(stack, tails, f"{RATE:,} events/s coming in")
    return Section(
        "The live tail: from an event's acceptance until it is there",
        tuple(figures),
        f"{tails} tails, opened one after the other, each with a filter of a source that nobody else has and"
        f" {EVENTS + 1} single events sent one after the other. The clock starts with the gateway's answer: what was"
        " there before it counts as 0 ms. Sender and reader run on the same cores.",
    )
