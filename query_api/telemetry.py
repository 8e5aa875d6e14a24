"""What the query API counts: Prometheus metrics, and the counters it shares with the other processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, Literal, get_args

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream_app.contract import LATENCY_BOUNDS_MS

CacheResult = Literal["hit", "shared", "miss", "bypass"]
QueryKind = Literal[
    "query", "event", "recent", "stats", "histogram", "top", "fields", "facets", "explain", "context", "receipt"
]
KINDS: Final[tuple[QueryKind, ...]] = get_args(QueryKind)
_CACHE_RESULTS: Final[tuple[CacheResult, ...]] = ("hit", "shared", "miss", "bypass")

# `process_metrics.counters` of the query API.
TOTAL_QUERIES: Final = "total_queries"
CACHE_HITS: Final = "cache_hits"
CACHE_MISSES: Final = "cache_misses"
QUERY_LATENCY_SUM_MS: Final = "query_latency_ms_sum"
QUERY_LATENCY_COUNT: Final = "query_latency_ms_count"
QUERY_LATENCY_HISTOGRAM: Final = "query_latency_ms_histogram"  # counts of LATENCY_BOUNDS_MS, and one above the last

_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class QueryFigures:
    """Counted once for each request. No label holds anything that a sender writes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queries = 0
        self._latency_sum_ms = 0.0
        self._latency_histogram = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        self._cache: dict[CacheResult, int] = dict.fromkeys(_CACHE_RESULTS, 0)
        durations = Histogram(
            "threatlog_query_duration_seconds",
            "Time to answer or to fail, by kind of query.",
            ["kind"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._durations = {kind: durations.labels(kind) for kind in KINDS}
        cache = Counter(
            "threatlog_cache_requests",
            "Questions to the page cache; shared: waited for the same question of another request.",
            ["result"],
            registry=registry,
        )
        self._cache_counters = {result: cache.labels(result) for result in _CACHE_RESULTS}
        self._rows = Counter("threatlog_query_rows", "Events given in pages that were made anew.", registry=registry)
        self._timeouts = Counter(
            "threatlog_query_timeouts", "Queries that took longer than they may.", registry=registry
        )
        self._unavailable = Counter(
            "threatlog_query_unavailable",
            "Queries answered 503 because PostgreSQL could not be used.",
            registry=registry,
        )
        self._busy = Counter(
            "threatlog_query_busy", "Queries answered 503: others kept PostgreSQL busy.", registry=registry
        )
        self._pool = Gauge("threatlog_db_pool_connections", "PostgreSQL connections.", ["state"], registry=registry)
        self._redis = Gauge("threatlog_redis_connected", "1 while Redis answers, else 0.", registry=registry)

    def watch(self, pool_sizes: Callable[[], tuple[int, int]], redis_answers: Callable[[], bool]) -> None:
        """Reads these at each scrape: (connections in use, idle ones), and whether Redis answers."""
        self._pool.labels("used").set_function(lambda: pool_sizes()[0])
        self._pool.labels("idle").set_function(lambda: pool_sizes()[1])
        self._redis.set_function(lambda: float(redis_answers()))

    def ended(self, kind: QueryKind, duration_s: float) -> None:
        """One query was answered, or failed after this time. One that was refused for its parameters is none."""
        self._queries += 1
        self._latency_sum_ms += duration_s * 1000
        self._latency_histogram[bisect_left(LATENCY_BOUNDS_MS, duration_s * 1000)] += 1
        self._durations[kind].observe(duration_s)

    def cache_answered(self, result: CacheResult) -> None:
        """One question to the page cache."""
        self._cache[result] += 1
        self._cache_counters[result].inc()

    def rows_given(self, rows: int) -> None:
        """One answer was made with this many events."""
        self._rows.inc(rows)

    def timed_out(self) -> None:
        """One query was ended because of its time."""
        self._timeouts.inc()

    def unavailable(self) -> None:
        """One query found that PostgreSQL could not be used."""
        self._unavailable.inc()

    def turned_away(self) -> None:
        """One query had no turn in time."""
        self._busy.inc()

    def counters(self) -> dict[str, object]:
        """The counters for `process_metrics`. Who shared another's answer had a hit: nothing was computed for it."""
        return {
            TOTAL_QUERIES: self._queries,
            CACHE_HITS: self._cache["hit"] + self._cache["shared"],
            CACHE_MISSES: self._cache["miss"],
            QUERY_LATENCY_SUM_MS: round(self._latency_sum_ms, 3),
            QUERY_LATENCY_COUNT: sum(self._latency_histogram),
            QUERY_LATENCY_HISTOGRAM: list(self._latency_histogram),
        }

    def counters_json(self) -> bytes:
        """The same as JSON."""
        return orjson.dumps(self.counters())
