"""A chunk knows its ends and counts its records for as long as it lives."""

from __future__ import annotations

from stream_app.chunks import BufferedEvents
from tests.fakes.kafka_records import chunk, record


def test_offset_and_time_are_those_of_the_last_record() -> None:
    made = chunk(3, [record(4, 1000), record(6, 2000)])

    assert (made.partition, made.position, made.offset, made.next_offset, made.timestamp) == (3, 4, 6, 7, 2000)


def test_records_are_counted_as_buffered_until_the_chunk_is_gone() -> None:
    buffered = BufferedEvents()
    first, second = chunk(0, range(3), buffered=buffered), chunk(0, range(3, 8), buffered=buffered)
    assert buffered.count == 8
    del first
    assert buffered.count == 5
    del second
    assert buffered.count == 0


def test_bytes_are_counted_as_buffered_until_the_records_are_stored() -> None:
    buffered = BufferedEvents()
    made = chunk(0, range(3), buffered=buffered)
    assert buffered.bytes == made.bytes == sum(len(item.value or b"") for item in made.records)
    made.release()

    assert (buffered.bytes, buffered.count) == (0, 0)


def test_a_chunk_over_the_bound_is_split_into_chunks_that_follow_on_each_other() -> None:
    buffered = BufferedEvents()
    made = chunk(0, range(5, 13), position=2, buffered=buffered)
    size = made.bytes
    parts = made.split(size // 3)
    del made

    assert [record.offset for part in parts for record in part.records] == list(range(5, 13))
    assert [part.position for part in parts] == [2, *(part.next_offset for part in parts[:-1])]
    assert all(part.bytes <= size // 3 for part in parts)
    assert (buffered.bytes, buffered.count) == (size, 8)


def test_each_early_death_lowers_both_caps_down_to_the_size_of_a_large_event() -> None:
    buffered = BufferedEvents()
    caps = []
    for deaths in range(5):
        buffered.narrow(deaths)
        caps.append((buffered.max_bytes >> 20, buffered.max_window_bytes >> 20))

    assert caps == [(256, 64), (32, 8), (4, 1), (4, 1), (4, 1)]


def test_a_chunk_of_one_record_is_never_split() -> None:
    made = chunk(0, [3])

    assert made.split(1) == [made]
