"""Rules of the account: each event has one fate, and its time can be told from its number."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.encode import EventRange
from loadgen.ledger import RunLedger
from loadgen.outcome import Fate
from tests.unit.loadgen.fakes import outcome

FIRST = EventRange(0, 5, 10_000_000, 1000)
SECOND = EventRange(5, 5, 10_004_000, 1000)


def _ledger() -> RunLedger:
    ledger = RunLedger()
    ledger.issued(FIRST)
    ledger.issued(SECOND)
    return ledger


def test_events_without_an_answer_have_no_fate_yet() -> None:
    ledger = _ledger()
    ledger.finished(outcome(SECOND))
    assert (ledger.issued_events, ledger.count(Fate.ACKED), list(ledger.spans(Fate.ACKED))) == (10, 5, [(5, 10)])


def test_neighbouring_ranges_of_one_fate_are_one_span() -> None:
    ledger = _ledger()
    ledger.finished(outcome(SECOND))
    ledger.finished(outcome(FIRST))
    assert list(ledger.spans(Fate.ACKED)) == [(0, 10)]


def test_a_rejected_item_is_refused_although_its_batch_was_acknowledged() -> None:
    ledger = _ledger()
    ledger.finished(outcome(FIRST, rejected=((2, "bad_severity"),)))
    assert list(ledger.spans(Fate.ACKED)) == [(0, 2), (3, 5)]
    assert list(ledger.spans(Fate.REFUSED)) == [(2, 3)]


def test_times_come_from_numbers() -> None:
    ledger = _ledger()
    assert [ledger.ms_of(number) for number in (0, 4, 5, 9)] == [10_000, 10_004, 10_004, 10_008]
    assert ledger.time_range_ms() == (10_000, 10_008)


def test_the_last_acknowledgement_is_the_latest_whatever_the_order() -> None:
    ledger = _ledger()
    ledger.finished(outcome(SECOND, acked_unix_us=2000))
    ledger.finished(outcome(FIRST, acked_unix_us=1000))
    assert ledger.last_acked_unix_us == 2000


def test_a_failure_does_not_move_the_last_acknowledgement() -> None:
    ledger = _ledger()
    ledger.finished(outcome(FIRST, Fate.UNKNOWN, acked_unix_us=1000))
    assert ledger.last_acked_unix_us == 0


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5000), st.integers(0, 2500)), min_size=1, max_size=6),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_slices_hold_each_event_of_a_fate_once_by_its_time(
    requests: list[tuple[int, int, int]], slice_ms: int, rng: Random
) -> None:
    ledger = RunLedger()
    for count, first_us, step_us in requests:
        events = EventRange(ledger.issued_events, count, first_us, step_us)
        ledger.issued(events)
        ledger.finished(outcome(events, rng.choice([Fate.ACKED, Fate.UNKNOWN])))
    for fate in (Fate.ACKED, Fate.UNKNOWN):
        expected = {number: ledger.ms_of(number) // slice_ms for span in ledger.spans(fate) for number in range(*span)}
        slices = ledger.slices(fate, slice_ms)
        found = [(number, place) for place, spans in slices.items() for span in spans for number in range(*span)]
        assert sorted(found) == sorted(expected.items())


def test_neighbouring_requests_of_one_slice_are_one_range() -> None:
    ledger = _ledger()
    for events in (FIRST, SECOND):
        ledger.finished(outcome(events))
    assert ledger.slices(Fate.ACKED, 1000) == {10: [(0, 10)]}


def test_ranges_must_follow_one_another() -> None:
    with pytest.raises(ValueError, match="issued after"):
        _ledger().issued(EventRange(11, 1, 0, 0))


def test_an_empty_ledger_has_no_time_range() -> None:
    with pytest.raises(ValueError, match="nothing was issued"):
        RunLedger().time_range_ms()
