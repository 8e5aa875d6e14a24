"""The names of all metrics that the processes serve."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from prometheus_client import CollectorRegistry

from ingest_gateway.metrics import GatewayMetrics
from query_api.exports.export_metrics import ExportMetrics
from query_api.lag_metrics import LagCollector
from query_api.lag_monitor import LagReport
from query_api.tail.figures import TailFigures
from query_api.telemetry import QueryFigures
from stream_app.figures import StreamFigures
from threatlog.process.http_metrics import HttpMetrics

_SAMPLE_ENDINGS = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "gauge": ("",),
}


@lru_cache(maxsize=2)
def metric_names(*, samples: bool = True) -> frozenset[str]:
    """The names as a scrape shows them; without `samples` one name for each metric, a counter's with `_total`."""
    registry = CollectorRegistry()
    GatewayMetrics(registry)
    StreamFigures(registry, lambda: 0.0, lambda: range(0))
    QueryFigures(registry)
    ExportMetrics(registry)
    TailFigures(registry)
    HttpMetrics(cast(Any, None), registry, service="gateway")
    registry.register(LagCollector("topic", "group", lambda: LagReport("topic", (), None, None, None, stale=True)))
    names: set[str] = set()
    for metric in registry.collect():
        endings = _SAMPLE_ENDINGS[metric.type]
        if samples:
            names |= {metric.name + ending for ending in endings} | {metric.name}
        else:
            names.add(metric.name + ("_total" if metric.type == "counter" else ""))
    return frozenset(names)
