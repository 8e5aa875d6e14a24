"""Queries over ten million rows, uncached and cached, as the report tells them."""

from __future__ import annotations

from benchmarks.bench_stack import bench_stack
from benchmarks.query import (
    CACHED_ASKED_MS,
    RARE_ASKED_MS,
    RARE_BELOW,
    TIMES_FASTER_ASKED,
    UNCACHED_ASKED_MS,
    Measured,
    measure,
)
from benchmarks.query_data import fill_now, newest_end
from benchmarks.section import Figure, Section

ROWS = 10_000_000
QUICK_ROWS = 200_000
PARTITIONS = 12


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    rows, questions = (QUICK_ROWS, 10) if quick else (ROWS, 100)
    end = newest_end()
    with bench_stack(PARTITIONS) as stack:
        took_s = fill_now(stack.dsn, stack.topic, PARTITIONS, rows, end)
        stack.start("query")
        found = measure(stack.url("query"), end, questions)
    return Section(
        f"Queries with {rows:,} rows",
        tuple(figure for measured in found for figure in figures(measured)),
        f"Pages of 100, newest first, with exact totals over HTTP; {questions} different ranges of"
        f" each kind anywhere in 7 days; `matching` is the median total. Asked: p95 under {UNCACHED_ASKED_MS:.0f} ms"
        f" uncached, {RARE_ASKED_MS:.0f} ms where fewer than {RARE_BELOW} rows match, under {CACHED_ASKED_MS:.0f} ms"
        f" cached, the median at least {TIMES_FASTER_ASKED:.0f} times faster. 200 sources; the day being filled"
        f" has no index by source. Filling, with rollups and indexes, took {took_s:.0f} s.",
    )


def figures(measured: Measured) -> tuple[Figure, Figure]:
    """One kind of question, uncached and cached."""
    name = f"{measured.name}, {measured.range}, {measured.total:,} matching"
    is_faster = measured.times_faster >= measured.times_faster_asked
    ratio_asked = f", >= {measured.times_faster_asked:.0f}x" if measured.times_faster_asked else ""
    return (
        Figure(
            f"{name}: uncached",
            f"p50 {measured.uncached_p50:.1f}, p95 {measured.uncached_p95:.1f} ms",
            f"p95 < {measured.asked_ms:.0f} ms",
            measured.uncached_p95 < measured.asked_ms,
        ),
        Figure(
            f"{name}: cached",
            f"p50 {measured.cached_p50:.2f}, p95 {measured.cached_p95:.2f} ms, {measured.times_faster:.0f}x",
            f"p95 < {CACHED_ASKED_MS:.0f} ms{ratio_asked}",
            measured.cached_p95 < CACHED_ASKED_MS and is_faster,
        ),
    )
