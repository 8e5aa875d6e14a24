"""Prometheus metrics of exports."""

from __future__ import annotations

from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

Outcome = Literal["completed", "interrupted", "cancelled"]
_OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)


class ExportMetrics:
    """How many exports this process sends, how they ended, and how much it was."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = Gauge("threatlog_exports_running", "Exports that are being sent.", registry=registry)
        self.rows = Counter("threatlog_export_rows", "Events sent in exports.", registry=registry)
        self.bytes = Counter("threatlog_export_bytes", "Bytes sent in exports.", registry=registry)
        ended = Counter("threatlog_exports_ended", "Answers with an export's file.", ["outcome"], registry=registry)
        self._ended = {outcome: ended.labels(outcome) for outcome in _OUTCOMES}

    def ended(self, outcome: Outcome) -> None:
        """One answer ended."""
        self._ended[outcome].inc()
