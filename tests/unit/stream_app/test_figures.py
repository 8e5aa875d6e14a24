"""Counts of windows, as metrics and as the counters that the query API adds up."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from prometheus_client import CollectorRegistry

from stream_app import contract
from stream_app.figures import StreamFigures
from stream_app.outcomes import Loss, Stored, Window
from stream_app.prepare import Row
from tests.fakes.kafka_records import NOON_MS, FakeRecord, chunk, record, window

TODAY = NOON_MS // 86_400_000


class Counted:
    """Figures with a clock of their own."""

    def __init__(self) -> None:
        self.now_s = NOON_MS / 1000
        self.registry = CollectorRegistry()
        self.put_off: set[int] = set()
        self.figures = StreamFigures(
            self.registry, lambda: self.now_s, lambda: range(TODAY - 30, TODAY + 3), lambda: self.put_off
        )

    def take(self, *records: FakeRecord, refused: int = 0, duplicates: int = 0) -> None:
        made = window([chunk(0, records)], {0: records[0].offset})
        self.figures.window_stored(self._stored(made, made.prepared.rows, refused, duplicates), made)

    @staticmethod
    def _stored(made: Window, rows: Sequence[Row], refused: int, duplicates: int) -> Stored:
        kept = rows[: len(rows) - refused - duplicates]
        return Stored(kept, duplicates, len(made.prepared.dead_letters) + refused, {}, {})

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"threatlog_worker_{name}", labels) or 0.0


def test_rows_duplicates_and_dead_letters_are_counted_apart() -> None:
    counted = Counted()
    counted.take(*(record(n) for n in range(5)), FakeRecord(5, None), FakeRecord(6, b"?"), refused=1, duplicates=2)

    assert counted.metric("stored_events_total") == 2
    assert counted.metric("duplicate_events_total") == 2
    assert counted.metric("dlq_events_total", reason="null_value") == 1
    assert counted.metric("dlq_events_total", reason="not_json") == 1
    assert counted.metric("dlq_events_total", reason="refused_by_store") == 1


def test_a_mostly_bad_window_is_counted() -> None:
    counted = Counted()
    bad = [FakeRecord(n, b"?") for n in range(10, 20)]
    counted.take(*(record(n) for n in range(10)), *bad)
    counted.take(*(record(n) for n in range(20, 31)), *bad)
    counted.take(*bad[1:])

    assert counted.metric("mostly_bad_windows_total") == 1


def test_a_window_of_duplicates_with_one_dead_letter_is_not_mostly_bad() -> None:
    counted = Counted()
    counted.take(*(record(n) for n in range(5)), FakeRecord(5, b"?"), duplicates=5)

    assert counted.metric("mostly_bad_windows_total") == 0


def test_latency_is_from_received_to_stored() -> None:
    counted = Counted()
    counted.now_s += 2.0
    counted.take(record(0, NOON_MS), record(1, NOON_MS + 1000))

    counters = orjson.loads(counted.figures.counters())
    assert counters[contract.LATENCY_SUM_MS] == 3000.0
    assert counters[contract.LATENCY_COUNT] == 2
    assert counted.registry.get_sample_value("threatlog_end_to_end_latency_seconds_sum") == 2.0


def test_a_clock_behind_the_brokers_makes_no_negative_latency() -> None:
    counted = Counted()
    counted.now_s -= 5.0
    counted.take(record(0))

    assert orjson.loads(counted.figures.counters())[contract.LATENCY_SUM_MS] == 0


def test_the_histogram_holds_each_event_under_its_bound() -> None:
    counted = Counted()
    counted.now_s += 0.5
    counted.take(record(0), record(1))
    counted.now_s += 10**7
    counted.take(record(2))

    histogram = orjson.loads(counted.figures.counters())[contract.LATENCY_HISTOGRAM]
    assert len(histogram) == len(contract.LATENCY_BOUNDS_MS) + 1
    assert histogram[-1] == 1
    at = histogram.index(2)
    assert contract.LATENCY_BOUNDS_MS[at - 1] < 500 <= contract.LATENCY_BOUNDS_MS[at]


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    counted = Counted()
    counted.take(*(record(n) for n in range(50)))
    assert orjson.loads(counted.figures.counters())[contract.STORED_PER_SECOND] == 5.0
    counted.now_s += 11

    counters = orjson.loads(counted.figures.counters())
    assert (counters[contract.STORED_PER_SECOND], counters[contract.STORED_EVENTS]) == (0.0, 50)


def test_events_outside_every_partition_are_counted_by_reason() -> None:
    counted = Counted()
    counted.take(
        record(0, timestamp="1999-01-01T00:00:00Z"),
        record(1, timestamp="2026-11-24T00:00:00Z"),
        record(2, timestamp="2026-11-27T00:00:00Z"),
        record(3, timestamp="2027-01-01T00:00:00Z"),
    )

    assert counted.metric("default_partition_events_total", reason="too_old") == 1
    assert counted.metric("default_partition_events_total", reason="too_new") == 2


def test_events_of_a_day_that_was_put_off_are_counted_as_in_the_default_partition() -> None:
    counted = Counted()
    counted.put_off = {TODAY - 1, TODAY - 31}
    stamps = ("1999-01-01T00:00:00Z", "2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-23T23:59:59Z")
    counted.take(*(record(n, timestamp=stamp) for n, stamp in enumerate((*stamps, "2026-11-24T00:00:00Z"))))

    assert counted.metric("default_partition_events_total", reason="not_made_yet") == 2
    assert counted.metric("default_partition_events_total", reason="too_old") == 1


def test_a_window_without_rows_counts_nothing_outside() -> None:
    counted = Counted()
    counted.take(FakeRecord(0, b"?"))

    assert counted.metric("stored_events_total") == 0


def test_lost_offsets_and_retries_are_counted() -> None:
    counted = Counted()
    counted.figures.lost([Loss(0, 5, 8), Loss(1, 0, 10)])
    counted.figures.retried("postgres")

    assert counted.metric("offset_gap_events_total") == 13
    assert counted.metric("retries_total", dependency="postgres") == 1
