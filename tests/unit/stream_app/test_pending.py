"""What Redis is still to be told, gathered over windows."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from stream_app.contract import RECENT_EVENTS
from stream_app.fence import Span
from stream_app.outcomes import Stored
from stream_app.pending import Pending, newest
from stream_app.prepare import Cell, Row, prepare
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC, FakeRecord, record

FAR_US = 1 << 60


def rows(*records: FakeRecord) -> list[Row]:
    return prepare(TOPIC, [Span(0, records)], LIMITS).rows


def stored(
    of: Sequence[Row] = (), minutes: dict[Cell, int] | None = None, totals: dict[tuple[int, str], int] | None = None
) -> Stored:
    return Stored(of, 0, 0, minutes or {}, totals or {})


def messages(pending: Pending, severity: int) -> list[str]:
    return [orjson.loads(content)["message"] for content, _ in pending.recent_of(severity)]


def test_later_counts_replace_earlier_ones() -> None:
    pending = Pending()
    pending.add(stored(minutes={Cell(5, 3, "a"): 2}, totals={(3, "a"): 2}), {}, FAR_US)
    pending.add(stored(minutes={Cell(5, 3, "a"): 7, Cell(5, 0, "a|b"): 1}, totals={(3, "a"): 9}), {}, FAR_US)

    assert pending.minute_counts == {5: {"HIGH|a": 7, "INFO|a|b": 1}}
    assert pending.total_counts == {"HIGH|a": 9}


def test_times_only_move_forward() -> None:
    pending = Pending()
    pending.move_until({0: 5, 1: 9})
    pending.move_until({0: 7, 1: 3})

    assert pending.until_us == {0: 7000, 1: 9000}


def test_recent_events_of_several_windows_are_newest_first() -> None:
    pending = Pending()
    pending.add(stored(rows(record(0, NOON_MS, message="a"), record(1, NOON_MS + 2, message="c"))), {}, FAR_US)
    pending.add(stored(rows(record(2, NOON_MS + 1, message="b"), record(3, NOON_MS + 3, message="d"))), {}, FAR_US)

    assert messages(pending, 3) == ["d", "c", "b", "a"]
    assert pending.severities() == [3]


def test_each_severity_keeps_its_newest() -> None:
    many = [record(n, NOON_MS + n, message=str(n), severity="INFO") for n in range(RECENT_EVENTS + 50)]
    pending = Pending()
    pending.add(stored(rows(record(5000, NOON_MS - 1, message="rare", severity="CRITICAL"), *many)), {}, FAR_US)

    assert messages(pending, 4) == ["rare"]
    kept = messages(pending, 0)
    assert len(kept) == RECENT_EVENTS
    assert kept[0] == str(RECENT_EVENTS + 49)
    assert kept[-1] == "50"


def test_all_severities_full_keeps_the_newest_of_each() -> None:
    count = RECENT_EVENTS + 10
    names = ("INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")
    many = [
        record(n * 5 + code, NOON_MS + n, severity=name, message=str(n))
        for n in range(count)
        for code, name in enumerate(names)
    ]
    pending = Pending()
    pending.add(stored(rows(*many)), {}, FAR_US)

    assert [len(messages(pending, code)) for code in range(5)] == [RECENT_EVENTS] * 5
    assert messages(pending, 2)[-1] == "10"


def test_events_dated_too_far_ahead_are_in_no_list() -> None:
    pending = Pending()
    pending.add(
        stored(rows(record(0, NOON_MS, message="now"), record(1, NOON_MS + 5, message="ahead"))), {}, NOON_MS * 1000
    )

    assert messages(pending, 3) == ["now"]


def test_the_newest_of_all_severities_are_chosen_by_time() -> None:
    members = [(str(n).encode(), n) for n in range(RECENT_EVENTS + 5)]

    assert [time for _, time in newest(members)] == list(range(RECENT_EVENTS + 4, 4, -1))
