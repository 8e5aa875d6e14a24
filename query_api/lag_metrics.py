"""The lag as Prometheus metrics, present also when no worker lives."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from query_api.lag_monitor import LagReport

_LABELS = ["group", "topic", "partition"]


class LagCollector:
    """Makes metrics of the last report at each scrape (prometheus-client's collector interface)."""

    def __init__(self, topic: str, group: str, report: Callable[[], LagReport]) -> None:
        self._topic = topic
        self._group = group
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """What is known of each partition, and whether it is fresh."""
        report = self._report()
        messages = GaugeMetricFamily(
            "threatlog_consumer_lag_messages", "Records of the partition that are not stored.", labels=_LABELS
        )
        seconds = GaugeMetricFamily(
            "threatlog_consumer_lag_seconds",
            "Since Kafka appended the oldest record that is not stored; 0 when all are.",
            labels=_LABELS,
        )
        catch_up = GaugeMetricFamily(
            "threatlog_consumer_catch_up_seconds",
            "Until all of the partition is stored at the rates of the last ten seconds; absent while its lag grows.",
            labels=_LABELS,
        )
        for entry in report.partitions:
            labels = [self._group, self._topic, str(entry.partition)]
            messages.add_metric(labels, entry.lag)
            if entry.lag == 0 or entry.oldest_unstored_age_s is not None:
                seconds.add_metric(labels, entry.oldest_unstored_age_s or 0.0)
            if entry.seconds_to_catch_up is not None:
                catch_up.add_metric(labels, entry.seconds_to_catch_up)
        stale = GaugeMetricFamily(
            "threatlog_consumer_lag_stale",
            "1 when Kafka or PostgreSQL could not be asked.",
            labels=["topic"],
        )
        stale.add_metric([self._topic], float(report.stale))
        return [messages, seconds, catch_up, stale]
