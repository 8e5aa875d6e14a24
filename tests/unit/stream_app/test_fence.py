"""Every offset of a partition is stored once, whatever is delivered twice, left out or restored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.chunks import Chunk
from stream_app.fence import Hole, fence
from tests.fakes.kafka_records import chunk, record


def offsets_of(chunks: list[Chunk], stored: dict[int, int]) -> list[tuple[int, int]]:
    return [(span.partition, record.offset) for span in fence(chunks, stored).spans for record in span.records]


def test_records_below_the_stored_offset_are_dropped() -> None:
    assert offsets_of([chunk(0, range(5))], {0: 3}) == [(0, 3), (0, 4)]


def test_a_chunk_that_is_stored_whole_moves_nothing() -> None:
    fenced = fence([chunk(0, range(5))], {0: 5})

    assert (fenced.spans, fenced.next_offsets, fenced.behind) == ((), {}, {})


def test_a_redelivery_within_one_window_is_taken_once() -> None:
    assert offsets_of([chunk(0, range(5)), chunk(0, range(8))], {0: 0}) == [(0, offset) for offset in range(8)]


def test_a_chunk_that_begins_above_the_stored_offset_is_behind_and_not_taken() -> None:
    fenced = fence([chunk(0, range(10, 15))], {0: 7})

    assert fenced.behind == {0: 7}
    assert (fenced.spans, fenced.next_offsets) == ((), {})


def test_after_a_gap_nothing_more_of_that_partition_is_taken_in_the_window() -> None:
    fenced = fence([chunk(0, [10]), chunk(0, [11], position=7), chunk(1, [4])], {0: 7, 1: 4})

    assert fenced.behind == {0: 7}
    assert [span.partition for span in fenced.spans] == [1]
    assert fenced.next_offsets == {1: 5}


def test_offsets_absent_from_the_log_are_a_hole_and_do_not_stop_the_partition() -> None:
    fenced = fence([chunk(2, [30, 31], position=25)], {2: 20 + 5})

    assert fenced.holes == (Hole(2, 25, 30),)
    assert fenced.next_offsets == {2: 32}


def test_a_hole_that_begins_below_the_stored_offset_is_reported_from_there() -> None:
    fenced = fence([chunk(0, [30], position=20)], {0: 25})

    assert fenced.holes == (Hole(0, 25, 30),)


def test_the_append_time_is_that_of_the_last_record() -> None:
    fenced = fence([chunk(0, [record(0, 1000), record(1, 2000)]), chunk(0, [record(2, 3000)])], {0: 0})

    assert fenced.appended_ms == {0: 3000}


def test_a_partition_that_is_not_known_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        fence([chunk(0, [0])], {})


class Log:
    """A partition's log with holes, a reader of it, and a store that keeps what the fence lets through."""

    def __init__(self, present: list[bool]) -> None:
        self.offsets = [offset for offset, there in enumerate(present) if there]
        self.position = 0
        self.next_offset = 0
        self.rows: list[int] = []

    def fetch(self, count: int) -> Chunk | None:
        found = [offset for offset in self.offsets if offset >= self.position][:count]
        if not found:
            return None
        fetched = chunk(0, found, position=self.position)
        self.position = fetched.next_offset
        return fetched

    def write(self, chunks: list[Chunk]) -> None:
        fenced = fence(chunks, {0: self.next_offset})
        self.rows += [record.offset for span in fenced.spans for record in span.records]
        self.next_offset = fenced.next_offsets.get(0, self.next_offset)
        self.position = fenced.behind.get(0, self.position)

    def restore(self, next_offset: int) -> None:
        """The database as it was when it had stored up to there."""
        self.next_offset = min(next_offset, self.next_offset)
        self.rows = [offset for offset in self.rows if offset < self.next_offset]


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 7)),
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("rewind"), st.integers(0, 40)),
        st.tuples(st.just("restore"), st.integers(0, 40)),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    max_size=40,
)


@given(present=st.lists(st.booleans(), min_size=1, max_size=40), steps=_steps)
def test_every_offset_is_stored_exactly_once_whatever_happens(
    present: list[bool], steps: list[tuple[str, int]]
) -> None:
    log = Log(present)
    held: list[Chunk] = []
    for action, number in steps:
        if action == "fetch" and (fetched := log.fetch(number)):
            held.append(fetched)
        elif action == "write":
            log.write(held)
            held = []
        elif action == "rewind":
            log.position = min(number, log.position)
        elif action == "restore":
            log.restore(number)
        elif action == "lose":
            # A rebalance drops what is queued; reading goes on from what is stored.
            held, log.position = [], log.next_offset
        expected = [offset for offset in log.offsets if offset < log.next_offset]
        assert log.rows == expected
    # A gap shows with the next record.
    log.offsets.append(len(present))
    for _ in range(4):
        while fetched := log.fetch(5):
            held.append(fetched)
        log.write(held)
        held = []
    assert log.rows == log.offsets
