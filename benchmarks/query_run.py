"""The query API on ten million rows: starts a stack, fills it, and asks benchmarks/query.py's questions."""

from __future__ import annotations

from benchmarks import query
from benchmarks.bench_stack import bench_stack
from benchmarks.query_data import fill_now, newest_end
from benchmarks.section import Figure, Section

PARTITIONS = 12


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    rows, questions = (200_000, 20) if quick else (10_000_000, 100)
    with bench_stack(PARTITIONS) as stack:
        end = newest_end()
        took_s = fill_now(stack.dsn, stack.topic, PARTITIONS, rows, end)
        stack.start("query")
        found = query.measure(stack.url("query"), end, questions)
    return Section(
        f"Query API: {rows:,} rows over 7 days, pages of 100 and their exact total, over HTTP",
        tuple(_figure(measured) for measured in found),
        f"{questions} different ranges of each kind, one after the other; cached: the same ranges again. Filled in"
        f" {took_s:.0f} s, warm. Asked: uncached p95 under {query.UNCACHED_ASKED_MS:.0f} ms"
        f" ({query.RARE_ASKED_MS:.0f} ms where fewer than {query.RARE_BELOW} rows match), cached p95 under"
        f" {query.CACHED_ASKED_MS:.0f} ms, and cached at least {query.TIMES_FASTER_ASKED:.0f} times faster.",
    )


def _figure(measured: query.Measured) -> Figure:
    words = (
        f"uncached p50 {measured.uncached_p50:.1f}, p95 {measured.uncached_p95:.1f} ms;"
        f" cached p50 {measured.cached_p50:.2f}, p95 {measured.cached_p95:.2f} ms; {measured.times_faster:.1f} times"
    )
    asked = f"{measured.asked_ms:.0f} ms; {query.CACHED_ASKED_MS:.0f} ms; {query.TIMES_FASTER_ASKED:.0f} times"
    return Figure(f"{measured.name}, {measured.range} ({measured.total:,} match)", words, asked, measured.meets_all)
