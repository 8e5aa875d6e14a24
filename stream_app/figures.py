"""What this worker counts: Prometheus metrics, and the counters that the query API adds up over all workers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from typing import Final

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream_app import contract
from stream_app.outcomes import Loss, Stored, Window

_WINDOW_BUCKETS: Final = (1, 10, 100, 500, 1000, 2500, 5000, 10_000, 25_000, 100_000)
_LATENCY_BUCKETS_S: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 3600.0)
_received_of: Final = attrgetter("received_us")
RATE_WINDOW_S: Final = 10.0


class StreamFigures:
    """Counts per window, never per event. No label holds anything that a sender writes."""

    def __init__(
        self,
        registry: CollectorRegistry,
        now_s: Callable[[], float],
        allowed_days: Callable[[], range],
        put_off_days: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self._now_s = now_s
        self._allowed_days = allowed_days
        self._put_off_days = put_off_days
        self._stored_total = 0
        self._latency_sum_ms = 0.0
        self._latency_histogram = [0] * (len(contract.LATENCY_BOUNDS_MS) + 1)
        self._stored_recently: deque[tuple[float, int]] = deque()
        self._define(registry)
        self._define_gauges(registry)

    def _define(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"threatlog_worker_{name}", text, labels, registry=registry)

        self.stored = counter("stored_events", "events stored")
        self.duplicates = counter("duplicate_events", "events left out since the same timestamp and id is stored")
        self.dead = counter("dlq_events", "records kept as dead letters", "reason")
        self.rebuilds = counter("redis_rebuilds", "times that Redis was filled from PostgreSQL")
        self.gaps = counter("offset_gap_events", "records that Kafka no longer had before they were stored")
        self.outside = counter("default_partition_events", "events dated outside every day partition", "reason")
        self.mostly_bad = counter(
            "mostly_bad_windows", "windows of which at least half, and at least 10, went to dead letters"
        )
        self.retries = counter("retries", "tries again of something that was away", "dependency")
        self.windows = Histogram(
            "threatlog_worker_batch_events", "events in a window", buckets=_WINDOW_BUCKETS, registry=registry
        )
        self.latency = Histogram(
            "threatlog_end_to_end_latency_seconds",
            "from received to stored, of the oldest event of a window",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )

    def _define_gauges(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"threatlog_{name}", text, registry=registry)

        self.last_commit = gauge("worker_last_commit_timestamp_seconds", "time of the last transaction")
        self.partitions = gauge("worker_assigned_partitions", "partitions of this worker")
        self.buffered = gauge("worker_buffered_events", "events fetched and not stored")
        self.max_window_bytes = gauge(
            "worker_max_window_bytes", "bytes of events that a window may have, an eighth or less after early deaths"
        )
        self.stopped_partitions = gauge("worker_stopped_partitions", "partitions that give nothing but dead letters")
        self.retention_dropped = gauge("retention_dropped_events", "events past their retention, over all time")
        self.retention_overdue = gauge("retention_overdue_days", "days past their retention that are still there")

    def window_stored(self, stored: Stored, window: Window) -> None:
        """Counts one committed window."""
        now_s = self._now_s()
        events = len(stored.rows)
        self._stored_total += events
        self._stored_recently.append((now_s, events))
        self.stored.inc(events)
        self.duplicates.inc(stored.duplicates)
        self.last_commit.set(now_s)
        self.windows.observe(events)
        reasons = Tally(letter.reason for letter in window.prepared.dead_letters)
        for reason, count in reasons.items():
            self.dead.labels(reason).inc(count)
        if stored.dead_letters > sum(reasons.values()):
            self.dead.labels("refused_by_store").inc(stored.dead_letters - sum(reasons.values()))
        if stored.mostly_bad:
            self.mostly_bad.inc()
        self._count_latency(stored, now_s)
        self._count_outside(stored)

    def _count_latency(self, stored: Stored, now_s: float) -> None:
        """Events of one request were received at one moment, so there are few distinct ones in a window."""
        received = Tally(map(_received_of, stored.rows))
        now_us = int(now_s * 1_000_000)
        for received_us, count in received.items():
            milliseconds = max(now_us - received_us, 0) / 1000
            self._latency_sum_ms += milliseconds * count
            self._latency_histogram[bisect_left(contract.LATENCY_BOUNDS_MS, milliseconds)] += count
        if received:
            self.latency.observe(max(now_us - min(received), 0) / 1_000_000)

    def _count_outside(self, stored: Stored) -> None:
        if not stored.rows:
            return
        allowed = self._allowed_days()
        first_us, end_us = allowed.start * 86_400_000_000, allowed.stop * 86_400_000_000
        # Rows are sorted by time, so both ends tell whether any lies outside.
        if stored.rows[0].ts_us < first_us:
            self.outside.labels("too_old").inc(bisect_left(stored.rows, first_us, key=lambda row: row.ts_us))
        if stored.rows[-1].ts_us >= end_us:
            later = len(stored.rows) - bisect_left(stored.rows, end_us, key=lambda row: row.ts_us)
            self.outside.labels("too_new").inc(later)
        for day in self._put_off_days():
            if day in allowed:
                first, end = (
                    bisect_left(stored.rows, edge * 86_400_000_000, key=lambda row: row.ts_us)
                    for edge in (day, day + 1)
                )
                self.outside.labels("not_made_yet").inc(end - first)

    def stopped(self, partitions: int) -> None:
        """So many partitions are not read now, for their dead letters."""
        self.stopped_partitions.set(partitions)

    def retried(self, dependency: str) -> None:
        """PostgreSQL, Kafka or Redis was away."""
        self.retries.labels(dependency).inc()

    def rebuilt(self) -> None:
        """Redis holds all it should again."""
        self.rebuilds.inc()

    def lost(self, losses: Sequence[Loss]) -> None:
        """Kafka no longer had these offsets."""
        self.gaps.inc(sum(loss.end - loss.start for loss in losses))

    def counters(self) -> bytes:
        """The JSON for `process_metrics`, named in the contract."""
        now_s = self._now_s()
        while self._stored_recently and self._stored_recently[0][0] < now_s - RATE_WINDOW_S:
            self._stored_recently.popleft()
        return orjson.dumps(
            {
                contract.STORED_EVENTS: self._stored_total,
                contract.STORED_PER_SECOND: sum(n for _, n in self._stored_recently) / RATE_WINDOW_S,
                contract.LATENCY_SUM_MS: round(self._latency_sum_ms, 3),
                contract.LATENCY_COUNT: sum(self._latency_histogram),
                contract.LATENCY_HISTOGRAM: self._latency_histogram,
            }
        )
