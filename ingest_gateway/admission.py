"""Whether one more request may wait for Kafka, and when a sender that was refused should come again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest_gateway.acknowledgement_rate import AcknowledgementRate

# No Retry-After is beyond this, so that senders are back soon after the longest outage.
MAX_RETRY_AFTER_S = 10.0
_MIN_EXPECTED_S = 2.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not wait. `expected_s`: until there is room; None when Kafka acknowledges nothing now."""

    detail: str
    expected_s: float | None


class Admission:
    """Refuses what could not be acknowledged before its deadline.

    Were it taken, Kafka would be busy with records whose senders have been told to send them again: beyond Kafka's
    capacity nearly everything that is stored would be answered 503.
    """

    # The share of the deadline that may be spent on waiting; the rest is for errors of the estimate and for the send.
    # With more, whoever is taken under overload waits longer and no more are taken.
    _WAITING_SHARE = 0.3
    # For so long Kafka may be silent, as when a partition gets another leader, before its rate is taken for unknown.
    _PAUSE_SHARE = 0.5

    def __init__(self, deadline_s: float, max_bytes: int, max_batch_bytes: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._max_wait_s = deadline_s * self._WAITING_SHARE
        self._max_pause_s = deadline_s * self._PAUSE_SHARE
        self._max_bytes = max_bytes
        # Less than a batch is no backlog: it leaves at once.
        self._min_backlog_bytes = min(max_batch_bytes, max_bytes)
        # Only while there is a backlog: without one the rate would be that of the senders.
        self._rate: AcknowledgementRate | None = None

    def refusal(self, size_bytes: int, unacknowledged_bytes: int) -> Refusal | None:
        """Why a request of this size may not join so many bytes; None when it may.

        One that is larger than the cap must be able to pass when nothing else waits.
        """
        fits = unacknowledged_bytes + size_bytes <= self._max_bytes or not unacknowledged_bytes
        if self._rate is None:
            return None if fits else self._over_cap(unacknowledged_bytes, _MIN_EXPECTED_S)
        now = self._clock()
        rate = self._rate.bytes_per_s(now)
        if rate is None:
            # Kafka acknowledges, but for how long a wait that makes is not known yet.
            expected_s = self._max_wait_s if self._rate.acknowledges(now) else None
            return None if fits else self._over_cap(unacknowledged_bytes, expected_s)
        wait_s = unacknowledged_bytes / rate
        if wait_s > self._max_wait_s:
            return Refusal(f"Kafka needs about {wait_s:.1f} s for what waits already", wait_s)
        return None if fits else self._over_cap(unacknowledged_bytes, wait_s)

    def _over_cap(self, unacknowledged_bytes: int, expected_s: float | None) -> Refusal:
        detail = f"{unacknowledged_bytes} bytes wait for Kafka already and at most {self._max_bytes} may"
        return Refusal(detail, expected_s)

    def follow(self, unacknowledged_bytes: int) -> None:
        """So many bytes wait now."""
        if unacknowledged_bytes < self._min_backlog_bytes:
            self._rate = None
        elif self._rate is None:
            self._rate = AcknowledgementRate(
                self._clock(),
                window_s=self._deadline_s,
                max_pause_s=self._max_pause_s,
                min_span_s=self._deadline_s / 20,
            )

    def acknowledged(self, size_bytes: int) -> None:
        """Kafka has acknowledged a batch."""
        if self._rate is not None:
            self._rate.acknowledged(size_bytes, self._clock())


def retry_after_s(expected_s: float, share: float) -> int:
    """Whole seconds, at least 1: between half and all of the expected time, as `share` (0 to 1) says.

    With a random share, senders that were refused together do not come back together.
    """
    bounded_s = min(max(expected_s, _MIN_EXPECTED_S), MAX_RETRY_AFTER_S)
    return round(bounded_s * (1 + share) / 2)
