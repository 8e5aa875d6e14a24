"""What is counted of tails, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from query_api.tail.losses import Loss, Reason

_REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class TailFigures:
    """No label holds anything that a client writes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("threatlog_tails_open", "Tails that are being answered.", registry=registry)
        self._sent = Counter("threatlog_tail_events", "Events sent to tails.", registry=registry)
        skipped = Counter(
            "threatlog_tail_skipped_events",
            "Events that tails were told they do not get, by why.",
            ["reason"],
            registry=registry,
        )
        self._skipped = {reason: skipped.labels(reason) for reason in _REASONS}
        self._refused = Counter("threatlog_tails_refused", "Tails answered 503: too many.", registry=registry)

    def watch(self, open_tails: Callable[[], int]) -> None:
        """Reads this at each scrape."""
        self._open.set_function(open_tails)

    def sent(self, events: int) -> None:
        """So many were given."""
        self._sent.inc(events)

    def skipped(self, loss: Loss) -> None:
        """This was told."""
        self._skipped[loss.reason].inc(loss.events or 0)

    def refused(self) -> None:
        """One was turned away."""
        self._refused.inc()
