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
