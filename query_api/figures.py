"""Adds up the figures of all processes, alive and gone: GET /api/v1/metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from query_api import telemetry as names
from query_api.reading import ALIVE_WITHIN_S, ProcessFigures
from stream_app import contract


class MetricsAnswer(msgspec.Struct, frozen=True):
    """Counts since the first start of any process; latencies of all events and queries. None: there was none yet.

    Percentiles are read from histograms whose bounds are 15 % apart. Queries that failed count like others; one that
    was refused for its parameters is none. `uptime_seconds` is that of the oldest process that is alive.
    `ingestion_rate` is events stored per second over the last ten seconds.
    """

    ingestion_rate: float
    total_logs_ingested: int
    total_queries: int
    avg_ingestion_latency_ms: float | None
    p95_ingestion_latency_ms: float | None
    p99_ingestion_latency_ms: float | None
    avg_query_latency_ms: float | None
    p95_query_latency_ms: float | None
    cache_hit_ratio: float
    cache_hits: int
    cache_misses: int
    uptime_seconds: float


def metrics_answer(total: int, processes: Sequence[ProcessFigures]) -> MetricsAnswer:
    """The figures over all rows of `process_metrics`."""
    stream = [row.counters for row in processes if row.role == "stream"]
    query = [row.counters for row in processes if row.role == "query"]
    alive = [row for row in processes if row.silent_s <= ALIVE_WITHIN_S]
    rate = sum(_number(row.counters, contract.STORED_PER_SECOND) for row in alive if row.role == "stream")
    hits, misses = (int(_sum(query, name)) for name in (names.CACHE_HITS, names.CACHE_MISSES))
    ingested = histogram(stream, contract.LATENCY_HISTOGRAM)
    answered = histogram(query, names.QUERY_LATENCY_HISTOGRAM)
    return MetricsAnswer(
        ingestion_rate=round(rate, 1),
        total_logs_ingested=total,
        total_queries=int(_sum(query, names.TOTAL_QUERIES)),
        avg_ingestion_latency_ms=_average(stream, contract.LATENCY_SUM_MS, contract.LATENCY_COUNT),
        p95_ingestion_latency_ms=percentile(ingested, 0.95),
        p99_ingestion_latency_ms=percentile(ingested, 0.99),
        avg_query_latency_ms=_average(query, names.QUERY_LATENCY_SUM_MS, names.QUERY_LATENCY_COUNT),
        p95_query_latency_ms=percentile(answered, 0.95),
        cache_hit_ratio=round(hits / (hits + misses), 4) if hits + misses else 0.0,
        cache_hits=hits,
        cache_misses=misses,
        uptime_seconds=round(max((row.age_s for row in alive), default=0.0), 1),
    )


def _number(counters: Mapping[str, object], name: str) -> float:
    value = counters.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _sum(rows: Sequence[Mapping[str, object]], name: str) -> float:
    return sum(_number(row, name) for row in rows)


def _average(rows: Sequence[Mapping[str, object]], sum_name: str, count_name: str) -> float | None:
    count = _sum(rows, count_name)
    return round(_sum(rows, sum_name) / count, 3) if count else None


def histogram(rows: Sequence[Mapping[str, object]], name: str) -> list[int]:
    """The counts of all rows added up; a row of another shape is left out."""
    merged = [0] * (len(contract.LATENCY_BOUNDS_MS) + 1)
    for row in rows:
        counts = row.get(name)
        if isinstance(counts, list) and len(counts) == len(merged):
            merged = [ours + theirs for ours, theirs in zip(merged, counts, strict=True)]
    return merged


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The value below which this share lies, interpolated within its bucket; None of nothing.

    What lies above the last bound counts as that bound.
    """
    wanted = sum(counts) * share
    if wanted == 0:
        return None
    below = 0
    lower = 0.0
    for count, upper in zip(counts, contract.LATENCY_BOUNDS_MS, strict=False):
        if count and below + count >= wanted:
            return round(lower + (upper - lower) * (wanted - below) / count, 3)
        below += count
        lower = upper
    return contract.LATENCY_BOUNDS_MS[-1]
