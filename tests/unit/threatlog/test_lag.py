"""The table of `threatlog lag`."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from query_api.lag import PartitionLag, TotalLag, WorkerState
from query_api.lag_monitor import LagReport
from threatlog.lag import render

MOMENT = datetime(2024, 3, 12, 12, 0, tzinfo=UTC)
CAUGHT_UP = PartitionLag(0, 1_500, 1_500, 0, None, MOMENT, WorkerState("stream-a-1", alive=True))
BEHIND = PartitionLag(1, 9_000, 4_000, 5_000, 12.34, MOMENT, WorkerState("stream-b-2", alive=False), 41.6)
UNTAKEN = PartitionLag(2, 7, None, 7, None, None, None)


def shown(report: LagReport) -> str:
    console = Console(width=200, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(report))
    return capture.get()


def report(*partitions: PartitionLag, total: TotalLag | None = None, **rest: object) -> LagReport:
    values: dict[str, object] = {"complete_until": MOMENT, "as_of": MOMENT, "stale": False, "detail": None, **rest}
    return LagReport("events", partitions, total, **values)  # type: ignore[arg-type] # A builder takes any field.


def test_each_partition_has_a_row_with_its_worker() -> None:
    text = shown(report(CAUGHT_UP, BEHIND, UNTAKEN, total=TotalLag(5_007, 12.34, 100.0, 350.0, 20.0)))
    assert "stream-a-1" in text
    assert "stream-b-2 (silent)" in text
    assert "none yet" in text
    assert "5,000" in text
    assert "12.3 s" in text
    assert "42 s" in text
    assert "total 5,007 (appended 100/s, stored 350/s)" in text
    assert "caught up: in about 20 s" in text
    assert "everything accepted before 2024-03-12T12:00:00+00:00 is stored" in text


def test_a_lag_that_does_not_shrink_has_no_end() -> None:
    text = shown(report(BEHIND, total=TotalLag(5_000, None, 100.0, 0.0, None)))
    assert "caught up: not at this rate" in text


def test_what_does_not_answer_is_said() -> None:
    text = shown(report(stale=True, detail="Kafka at 127.0.0.1:1: refused", complete_until=None))
    assert "stale: Kafka at 127.0.0.1:1: refused" in text


def test_why_completeness_is_unknown_is_said() -> None:
    text = shown(report(UNTAKEN, detail="partition 2 has events", complete_until=None))
    assert "partition 2 has events" in text
    assert "stale" not in text
