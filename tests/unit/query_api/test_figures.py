"""Figures over all processes."""

from __future__ import annotations

from bisect import bisect_left
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from query_api.figures import metrics_answer, percentile
from query_api.reading import ProcessFigures
from query_api.telemetry import QueryFigures
from stream_app.contract import LATENCY_BOUNDS_MS


def counts_of(*milliseconds: float) -> list[int]:
    counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    for value in milliseconds:
        counts[bisect_left(LATENCY_BOUNDS_MS, value)] += 1
    return counts


def stream(
    process: str, *latencies: float, rate: float = 0.0, silent_s: float = 0.1, age_s: float = 60.0
) -> ProcessFigures:
    counters: dict[str, object] = {
        "stored_events": len(latencies),
        "stored_per_second": rate,
        "ingestion_latency_ms_sum": sum(latencies),
        "ingestion_latency_ms_count": len(latencies),
        "ingestion_latency_ms_histogram": counts_of(*latencies),
    }
    return ProcessFigures(process, "stream", counters, age_s, silent_s)


def query(process: str, queries: int, hits: int, misses: int, silent_s: float = 0.1) -> ProcessFigures:
    figures = QueryFigures(CollectorRegistry())
    for _ in range(queries):
        figures.ended("query", 0.004)
    for _ in range(hits):
        figures.cache_answered("hit")
    for _ in range(misses):
        figures.cache_answered("miss")
    return ProcessFigures(process, "query", figures.counters(), 30.0, silent_s)


def test_counters_of_all_processes_add_up_those_that_are_gone_too() -> None:
    found = metrics_answer(7, [query("a", 3, 2, 1), query("b", 2, 1, 0, silent_s=9999.0)])
    assert (found.total_queries, found.cache_hits, found.cache_misses) == (5, 3, 1)
    assert found.cache_hit_ratio == 0.75
    assert found.total_logs_ingested == 7
    assert found.avg_query_latency_ms == pytest.approx(4.0)
    assert found.p95_query_latency_ms == pytest.approx(4.0, rel=0.15)


def test_the_rate_is_that_of_live_workers_only() -> None:
    rows = [stream("a", rate=100.0), stream("b", rate=50.0), stream("c", rate=900.0, silent_s=5.1)]
    assert metrics_answer(0, rows).ingestion_rate == 150.0


def test_latencies_are_of_all_events_and_not_averages_of_averages() -> None:
    found = metrics_answer(0, [stream("a", 10.0), stream("b", *[100.0] * 99)])
    assert found.avg_ingestion_latency_ms == pytest.approx(99.1)
    assert found.p95_ingestion_latency_ms == pytest.approx(100.0, rel=0.15)
    assert found.p99_ingestion_latency_ms == pytest.approx(100.0, rel=0.15)


def test_uptime_is_that_of_the_oldest_process_alive() -> None:
    rows = [stream("a", age_s=50.0), stream("b", age_s=70.0), stream("c", age_s=500.0, silent_s=60.0)]
    assert metrics_answer(0, rows).uptime_seconds == 70.0


def test_without_any_process_there_are_no_latencies() -> None:
    found = metrics_answer(0, [])
    assert found.avg_ingestion_latency_ms is None
    assert found.p95_query_latency_ms is None
    assert (found.cache_hit_ratio, found.ingestion_rate, found.uptime_seconds) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "counters", [{}, {"ingestion_latency_ms_histogram": [1, 2]}, {"ingestion_latency_ms_histogram": "x"}]
)
def test_a_row_of_another_shape_is_left_out(counters: dict[str, object]) -> None:
    found = metrics_answer(0, [ProcessFigures("a", "stream", counters, 1.0, 0.0), stream("b", 10.0)])
    assert found.p99_ingestion_latency_ms == pytest.approx(10.0, rel=0.15)


@given(st.lists(st.floats(0.051, 86_400_000.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_right_to_within_15_percent(values: list[float], share: float) -> None:
    found = percentile(counts_of(*values), share)
    exact = sorted(values)[max(ceil(len(values) * share) - 1, 0)]
    assert found == pytest.approx(exact, rel=0.151)


@pytest.mark.parametrize("latency_ms", [0.06, 0.35, 3_600_000.0, 80_000_000.0])
def test_percentiles_of_equal_latencies_lie_at_their_average_however_small_or_large(latency_ms: float) -> None:
    found = metrics_answer(0, [stream("a", *[latency_ms] * 100)])
    assert found.avg_ingestion_latency_ms == pytest.approx(latency_ms, rel=0.01)
    assert found.p95_ingestion_latency_ms == pytest.approx(latency_ms, rel=0.16)
    assert found.p99_ingestion_latency_ms == pytest.approx(latency_ms, rel=0.16)


def test_latencies_of_the_shape_before_are_in_neither_average_nor_percentiles() -> None:
    before: dict[str, object] = {
        "ingestion_latency_sum_ms": 9e9,
        "ingestion_latency_count": 1000,
        "ingestion_latency_histogram": [1000] * 90,
    }
    found = metrics_answer(0, [ProcessFigures("a", "stream", before, 1.0, 0.0), stream("b", 10.0)])
    assert found.avg_ingestion_latency_ms == pytest.approx(10.0)
    assert found.p95_ingestion_latency_ms == pytest.approx(10.0, rel=0.15)


def test_what_is_above_the_last_bound_counts_as_that_bound() -> None:
    assert percentile(counts_of(10.0**9), 0.99) == LATENCY_BOUNDS_MS[-1]
