"""Rules of the figures: nearest-rank percentiles, every event counted under one fate, each second on its own line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.encode import EventRange
from loadgen.outcome import Fate
from loadgen.report import RunReport, percentile, spread_ms
from tests.unit.loadgen.fakes import outcome

DURATIONS = st.lists(st.floats(0, 1e6), min_size=1)


def _events(count: int = 10) -> EventRange:
    return EventRange(0, count, 0, 0)


@given(DURATIONS, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_the_least_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    ascending = sorted(values)
    found = percentile(ascending, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values)


def test_percentiles_of_one_to_a_hundred() -> None:
    spread = spread_ms([n / 1000 for n in range(100, 0, -1)])
    assert (spread.p50, spread.p95, spread.p99, spread.max, spread.samples) == (50.0, 95.0, 99.0, 100.0, 100)


def test_no_samples_have_no_percentiles() -> None:
    assert spread_ms([]).p99 is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_every_event_is_counted_under_one_fate_and_code() -> None:
    report = RunReport(0.0)
    report.finished(outcome(_events(), rejected=((3, "bad_severity"), (4, "bad_severity"))))
    report.finished(outcome(_events(), Fate.UNKNOWN, code="timed out", attempts=("503 x", "timed out")))
    report.finished(outcome(_events(), Fate.REFUSED, code="422 all_rejected"))
    assert (report.by_fate[Fate.ACKED], report.by_fate[Fate.REFUSED], report.by_fate[Fate.UNKNOWN]) == (8, 12, 10)
    assert report.by_code == {"bad_severity": 2, "timed out": 10, "422 all_rejected": 10}
    assert report.retries == 1
    assert report.requests == 3


def test_latency_counts_from_the_intended_moment_and_lateness_is_told() -> None:
    report = RunReport(0.0)
    report.finished(outcome(_events(), intended_s=1.0, started_s=1.5, finished_s=1.6))
    report.finished(outcome(_events(), intended_s=2.0, started_s=2.001, finished_s=2.1))
    assert report.latency.max == 600.0
    assert report.start_delay.max == 500.0
    assert report.late_requests == 1


def test_latency_is_of_acknowledged_requests_only() -> None:
    report = RunReport(0.0)
    report.finished(outcome(_events(), Fate.UNKNOWN, finished_s=10.0))
    assert report.latency.samples == 0


def test_the_timeline_has_each_second_once() -> None:
    report = RunReport(100.0)
    report.finished(outcome(_events(), intended_s=100.1, started_s=100.1, finished_s=100.2))
    report.finished(outcome(_events(), intended_s=100.8, started_s=100.9, finished_s=102.5))
    report.seen(100.2, 0.3)
    report.seen(100.3, 0.5)
    lines = report.timeline()
    assert [line.at_s for line in lines] == [0, 1, 2]
    assert [line.sent for line in lines] == [20, 0, 0]
    assert [line.acked for line in lines] == [10, 0, 10]
    assert (lines[0].freshness_p50_ms, lines[0].freshness_max_ms) == (300.0, 500.0)
    assert lines[1].latency_p50_ms is None


def test_the_first_send_and_the_last_acknowledgement_are_told_in_unix_seconds() -> None:
    report = RunReport(0.0)
    assert (report.figures()["first_sent_unix_s"], report.figures()["last_acked_unix_s"]) == (None, None)
    report.finished(outcome(_events(), started_s=1.0, finished_s=1.5, acked_unix_us=1_700_000_001_500_000))
    report.finished(outcome(_events(), started_s=0.5, finished_s=1.2, acked_unix_us=1_700_000_001_200_000))
    report.finished(
        outcome(_events(), Fate.UNKNOWN, started_s=2.0, finished_s=9.0, acked_unix_us=1_700_000_009_000_000)
    )
    figures = report.figures()
    assert (figures["first_sent_unix_s"], figures["last_acked_unix_s"]) == (1_700_000_000.5, 1_700_000_001.5)


def test_the_rate_is_of_acknowledged_events_up_to_the_last_answer() -> None:
    report = RunReport(0.0)
    report.finished(outcome(_events(), finished_s=2.0))
    report.finished(outcome(_events(), Fate.REFUSED, finished_s=4.0))
    assert report.acked_per_s == 2.5
