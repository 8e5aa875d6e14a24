"""How many bytes a second Kafka acknowledges of one backlog."""

from __future__ import annotations

from collections import deque


class AcknowledgementRate:
    """The mean over the last `window_s` since a backlog began; unknown at first and after a long pause.

    Over a pause (Kafka was away) the mean would say for seconds that Kafka is slow, although it has come back as fast
    as ever.
    """

    __slots__ = ("_acknowledged", "_bytes", "_last_sign_at", "_max_pause_s", "_min_span_s", "_since", "_window_s")

    def __init__(self, now: float, window_s: float, max_pause_s: float, min_span_s: float) -> None:
        self._window_s = window_s
        self._max_pause_s = max_pause_s
        self._min_span_s = min_span_s
        self._since = self._last_sign_at = now
        self._acknowledged: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def acknowledged(self, size_bytes: int, now: float) -> None:
        """Kafka has acknowledged a batch."""
        if now - self._last_sign_at > self._max_pause_s:
            self._since = now
            self._acknowledged.clear()
            # How long Kafka took for this one is not known, only that it acknowledges again.
            self._bytes = size_bytes = 0
        self._last_sign_at = now
        self._acknowledged.append((now, size_bytes))
        self._bytes += size_bytes
        self._drop_before(now - self._window_s)

    def acknowledges(self, now: float) -> bool:
        """Whether Kafka has acknowledged anything lately."""
        return bool(self._acknowledged) and now - self._last_sign_at <= self._max_pause_s

    def bytes_per_s(self, now: float) -> float | None:
        """The rate; None while it is unknown."""
        if not self.acknowledges(now):
            return None
        self._drop_before(now - self._window_s)
        span_s = min(now - self._since, self._window_s)
        return self._bytes / span_s if span_s >= self._min_span_s and self._bytes else None

    def _drop_before(self, moment: float) -> None:
        while self._acknowledged and self._acknowledged[0][0] < moment:
            self._bytes -= self._acknowledged.popleft()[1]
