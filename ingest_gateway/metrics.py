"""The gateway's own metrics: events, bytes, and what Kafka takes."""

from __future__ import annotations

from collections import Counter as CountOf
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest_gateway.acceptance import DECISION_STATUSES, Rejection
from ingest_gateway.publishing import UNAVAILABLE_CODES, UnavailableCode

_ACK_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class GatewayMetrics:
    """Counted once for each request or batch, never for each event."""

    def __init__(self, registry: CollectorRegistry) -> None:
        events = Counter("threatlog_ingest_events", "Events by what became of them.", ["outcome"], registry=registry)
        self._accepted = events.labels("accepted")
        self._rejected = events.labels("rejected")
        reasons = Counter(
            "threatlog_ingest_rejected_events", "Refused events by reason.", ["reason"], registry=registry
        )
        self._reasons = {code: reasons.labels(code) for code in DECISION_STATUSES}
        sizes = Counter(
            "threatlog_ingest_bytes", "Body bytes as sent and after decompression.", ["stage"], registry=registry
        )
        self._wire_bytes = sizes.labels("wire")
        self._decoded_bytes = sizes.labels("decoded")
        unavailable = Counter(
            "threatlog_ingest_unavailable",
            "Requests that Kafka did not acknowledge, by reason: each was answered 503.",
            ["reason"],
            registry=registry,
        )
        self._unavailable = {code: unavailable.labels(code) for code in UNAVAILABLE_CODES}
        self._acknowledged = Histogram(
            "threatlog_kafka_produce_ack_seconds",
            "Time from sending a batch of records to its acknowledgement by all in-sync replicas.",
            buckets=_ACK_BUCKETS_S,
            registry=registry,
        )
        self._unacknowledged = Gauge(
            "threatlog_kafka_unacked_bytes", "Record bytes taken from senders that wait for Kafka.", registry=registry
        )
        self._request_bytes = Gauge(
            "threatlog_ingest_request_bytes", "Bytes of requests that are held and not decoded yet.", registry=registry
        )
        self._connected = Gauge(
            "threatlog_kafka_connected", "1 while Kafka answers and acknowledges, else 0.", registry=registry
        )

    def watch_publisher(self, unacknowledged_bytes: Callable[[], int], connected: Callable[[], bool]) -> None:
        """Reads these two at each scrape."""
        self._unacknowledged.set_function(unacknowledged_bytes)
        self._connected.set_function(lambda: float(connected()))

    def watch_requests(self, bytes_in_flight: Callable[[], int]) -> None:
        """Reads this at each scrape."""
        self._request_bytes.set_function(bytes_in_flight)

    def body_received(self, wire_bytes: int, decoded_bytes: int) -> None:
        """One request's body is here."""
        self._wire_bytes.inc(wire_bytes)
        self._decoded_bytes.inc(decoded_bytes)

    def events_decided(self, accepted: int, rejections: Sequence[Rejection]) -> None:
        """Kafka has acknowledged the accepted ones; the others were refused."""
        if accepted:
            self._accepted.inc(accepted)
        if rejections:
            self._rejected.inc(len(rejections))
            for code, count in CountOf([rejection.code for rejection in rejections]).items():
                self._reasons[code].inc(count)

    def unavailable(self, code: UnavailableCode) -> None:
        """One request was answered 503."""
        self._unavailable[code].inc()

    def batch_acknowledged(self, duration_s: float) -> None:
        """One batch of records took this long from sending to acknowledgement."""
        self._acknowledged.observe(duration_s)
