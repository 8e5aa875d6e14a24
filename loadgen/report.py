"""The figures of one run: counts, percentiles, and a line for each second."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from loadgen.encode import EventRange
from loadgen.outcome import Fate, Outcome

# A request that began later than this after its moment is late; timers and encoding take one or two milliseconds.
LATE_S: Final = 0.010


def percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that at least `share` (0 to 1) of all values do not exceed.

    Raises ValueError when there are no values.
    """
    if not ascending:
        raise ValueError("no values, so no percentile")
    return ascending[max(0, math.ceil(share * len(ascending) - 1e-9) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a duration is spread, in milliseconds. All None without samples."""

    samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


def spread_ms(seconds: Sequence[float]) -> Spread:
    """The spread of durations given in seconds, in any order."""
    if not seconds:
        return Spread(0, None, None, None, None)
    ascending = sorted(seconds)
    p50, p95, p99 = (round(percentile(ascending, share) * 1000, 3) for share in (0.5, 0.95, 0.99))
    return Spread(len(ascending), p50, p95, p99, round(ascending[-1] * 1000, 3))


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the run, by when answers came in; milliseconds are None where there was no sample."""

    at_s: int
    sent: int
    acked: int
    not_acked: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    freshness_p50_ms: float | None
    freshness_max_ms: float | None


class RunReport:
    """An `OutcomeRecorder` and `FreshnessListener` that counts. `start_s` is the driver's monotonic start."""

    def __init__(self, start_s: float) -> None:
        self._start_s: Final = start_s
        self._latency = array("d")
        self._delay = array("d")
        self._freshness = array("d")
        self._latency_by_second: dict[int, array[float]] = {}
        self._freshness_by_second: dict[int, array[float]] = {}
        self._sent_by_second: Counter[int] = Counter()
        self._acked_by_second: Counter[int] = Counter()
        self._failed_by_second: Counter[int] = Counter()
        self._end_s = start_s
        self._first_sent_unix_s = math.inf
        self._last_acked_unix_s = 0.0
        self.by_fate: Counter[Fate] = Counter()
        self.by_code: Counter[str] = Counter()
        self.attempt_codes: Counter[str] = Counter()
        self.requests = 0
        self.retries = 0
        self.late_requests = 0
        self.never_seen = 0

    def issued(self, events: EventRange) -> None:
        """Counted when finished, by the second in which it began."""

    def finished(self, outcome: Outcome) -> None:
        count, rejected = outcome.events.count, len(outcome.rejected)
        self.requests += 1
        self.retries += len(outcome.attempts) - 1
        self.attempt_codes.update(outcome.attempts)
        self.by_fate[outcome.fate] += count - rejected
        self.by_fate[Fate.REFUSED] += rejected
        self.by_code.update(code for _, code in outcome.rejected)
        if outcome.fate is not Fate.ACKED:
            self.by_code[outcome.code] += count
        self._end_s = max(self._end_s, outcome.finished_s)
        ended_unix_s = outcome.acked_unix_us / 1e6
        self._first_sent_unix_s = min(self._first_sent_unix_s, ended_unix_s - (outcome.finished_s - outcome.started_s))
        delay_s = outcome.started_s - outcome.intended_s
        self._delay.append(delay_s)
        self.late_requests += delay_s > LATE_S
        second = int(outcome.finished_s - self._start_s)
        self._sent_by_second[int(outcome.started_s - self._start_s)] += count
        if outcome.fate is Fate.ACKED:
            self._last_acked_unix_s = max(self._last_acked_unix_s, ended_unix_s)
            self._latency.append(outcome.latency_s)
            self._latency_by_second.setdefault(second, array("d")).append(outcome.latency_s)
            self._acked_by_second[second] += count - rejected
            self._failed_by_second[second] += rejected
        else:
            self._failed_by_second[second] += count

    def seen(self, acked_s: float, age_s: float) -> None:
        self._freshness.append(age_s)
        self._freshness_by_second.setdefault(int(acked_s - self._start_s), array("d")).append(age_s)

    def not_seen(self, acked_s: float) -> None:  # noqa: ARG002 - the listener's signature
        self.never_seen += 1

    @property
    def acked_events(self) -> int:
        return self.by_fate[Fate.ACKED]

    @property
    def elapsed_s(self) -> float:
        """From the start to the last answer."""
        return self._end_s - self._start_s

    @property
    def acked_per_s(self) -> float:
        return self.acked_events / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def latency(self) -> Spread:
        """Of acknowledged requests, from the moment each should have been sent."""
        return spread_ms(self._latency)

    @property
    def start_delay(self) -> Spread:
        """How long after its moment each request began."""
        return spread_ms(self._delay)

    @property
    def freshness(self) -> Spread:
        """From acknowledgement to being found by the query API, of the events that were followed."""
        return spread_ms(self._freshness)

    def timeline(self) -> list[Second]:
        """Every second from the start to the last answer, in order."""
        seconds = []
        for at_s in range(int(self.elapsed_s) + 1):
            latency = spread_ms(self._latency_by_second.get(at_s, ()))
            freshness = spread_ms(self._freshness_by_second.get(at_s, ()))
            seconds.append(
                Second(
                    at_s,
                    self._sent_by_second[at_s],
                    self._acked_by_second[at_s],
                    self._failed_by_second[at_s],
                    latency.p50,
                    latency.p99,
                    freshness.p50,
                    freshness.max,
                )
            )
        return seconds

    def figures(self) -> dict[str, object]:
        """Everything counted, as JSON values."""
        return {
            "requests": self.requests,
            "acked_events": self.acked_events,
            "refused_events": self.by_fate[Fate.REFUSED],
            "not_taken_events": self.by_fate[Fate.NOT_TAKEN],
            "unknown_events": self.by_fate[Fate.UNKNOWN],
            "not_acked_by_code": dict(sorted(self.by_code.items())),
            "attempts_by_code": dict(sorted(self.attempt_codes.items())),
            "retries": self.retries,
            "late_requests": self.late_requests,
            "first_sent_unix_s": round(self._first_sent_unix_s, 6) if self.requests else None,
            "last_acked_unix_s": round(self._last_acked_unix_s, 6) if self.acked_events else None,
            "elapsed_s": round(self.elapsed_s, 3),
            "acked_per_s": round(self.acked_per_s, 1),
            "latency_ms": asdict(self.latency),
            "start_delay_ms": asdict(self.start_delay),
            "freshness_ms": asdict(self.freshness),
            "never_seen": self.never_seen,
            "timeline": [asdict(second) for second in self.timeline()],
        }
