"""Counts and times every HTTP request, by route template, at a cost of a few microseconds."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.responses import Response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Upper bounds in seconds; the last bucket is +Inf.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
UNMATCHED_ROUTE: Final = "unmatched"
NO_ANSWER: Final = 499
# Where the protocol leaves in a request's scope the status that it answered itself.
REFUSED_STATUS: Final = "threatlog.refused_status"
# In a request's scope once its answer has begun.
HAS_BEGUN: Final = "threatlog.has_begun"
_METHODS: Final = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class _Row:
    __slots__ = ("buckets", "count", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)


class HttpMetrics:
    """ASGI middleware and Prometheus collector in one.

    The labels are the route's template, the method and the status: nothing that a sender can make grow. Plain integers
    are counted and only a scrape makes metric objects of them; prometheus-client's own cost 10 us for each request.
    """

    def __init__(
        self,
        app: AsgiApp,
        registry: CollectorRegistry,
        service: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._service = service
        self._clock = clock
        self._in_flight = 0
        self._rows: dict[tuple[str, str, int], _Row] = {}
        registry.register(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on and counts it by the status that went out; 499 when the sender left before it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = NO_ANSWER

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                scope[HAS_BEGUN] = True
                await send(message)
                status = message["status"]
            else:
                await send(message)

        self._in_flight += 1
        started = self._clock()
        try:
            await self._app(scope, receive, noting_send)
        finally:
            self._in_flight -= 1
            self._note(scope, scope.get(REFUSED_STATUS, status), self._clock() - started)

    def count_refused(self, status: int) -> None:
        """Counts a request that was answered before it was one: no route, no method, no duration."""
        self._rows.setdefault((UNMATCHED_ROUTE, "other", status), _Row()).count += 1

    def _note(self, scope: Scope, status: int, duration_s: float) -> None:
        # The router leaves the route it matched in the scope; a path as it came is never a label.
        route = getattr(scope.get("route"), "path", UNMATCHED_ROUTE)
        key = (route, scope["method"], status)
        row = self._rows.get(key)
        if row is None:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            row = self._rows.setdefault((route, method, status), _Row())
        row.count += 1
        row.sum_s += duration_s
        row.buckets[bisect_left(BUCKETS_S, duration_s)] += 1

    def collect(self) -> Iterable[Metric]:
        """The metrics of this process so far (prometheus-client's collector interface)."""
        requests = CounterMetricFamily(
            "threatlog_http_requests",
            "Requests answered; code 499: the sender left before the answer.",
            labels=["service", "route", "method", "code"],
        )
        durations = HistogramMetricFamily(
            "threatlog_http_request_duration_seconds",
            "Time from a request's headers to the end of its answer.",
            labels=["service", "route", "method"],
        )
        in_flight = GaugeMetricFamily(
            "threatlog_http_requests_in_flight", "Requests that are being answered.", labels=["service"]
        )
        in_flight.add_metric([self._service], self._in_flight)
        merged: dict[tuple[str, str], _Row] = {}
        for (route, method, status), row in list(self._rows.items()):
            requests.add_metric([self._service, route, method, str(status)], row.count)
            total = merged.setdefault((route, method), _Row())
            total.sum_s += row.sum_s
            total.buckets = [ours + theirs for ours, theirs in zip(total.buckets, row.buckets, strict=True)]
        for (route, method), total in merged.items():
            durations.add_metric([self._service, route, method], cumulative(BUCKETS_S, total.buckets), total.sum_s)
        return [requests, durations, in_flight]


def cumulative(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """Prometheus buckets (`le`, number at or below it) of the counts between `bounds`, the last one being +Inf."""
    names = [*(str(bound) for bound in bounds), "+Inf"]
    running = 0
    buckets = []
    for name, count in zip(names, counts, strict=True):
        running += count
        buckets.append((name, float(running)))
    return buckets


def metrics_response(registry: CollectorRegistry) -> Response:
    """The registry in Prometheus' text format."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
