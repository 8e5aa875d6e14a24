"""Whole batches are read as aiokafka would read their records one by one."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from stream_app.aiokafka_group import BatchReader, Room

PARTITION = TopicPartition("events", 0)
AMPLE = 1 << 20
ZSTD = 4
_ATTRIBUTES_AT, _CRC_AT, _CRC_BYTES = 21, 17, 4
_CONTROL = 0x20


class State:
    """The consumer's place in its partition."""

    paused = False
    has_valid_position = True

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class Assignment:
    active = True

    def __init__(self, position: int) -> None:
        self.state = State(position)

    def state_value(self, _partition: TopicPartition) -> State:
        return self.state


def batch(first_offset: int, count: int, compression: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1 << 20)
    for number in range(count):
        builder.append(number, 1000 + number, None, b"value %d" % (first_offset + number), [])
    built = bytearray(builder.build())
    built[:8] = first_offset.to_bytes(8, "big")  # outside the checksum
    return bytes(built)


def fetched(data: bytes, position: int, isolation: int = 0, aborted: list[Any] | None = None) -> FetchResult:
    records = PartitionRecords(PARTITION, MemoryRecords(data), aborted or [], position, None, None, True, isolation)
    return FetchResult(PARTITION, assignment=Assignment(position), partition_records=records, backoff=0)


def position_of(result: FetchResult) -> int:
    position: int = result._assignment.state.position
    return position


def seen(records: list[Any]) -> list[tuple[int, int, bytes]]:
    return [(record.offset, record.timestamp, record.value) for record in records]


THREE = batch(10, 5) + batch(15, 3, ZSTD) + batch(20, 4)


@pytest.mark.parametrize("position", [10, 12, 15, 17, 18, 21])
@pytest.mark.parametrize("max_records", [None, 1, 2, 5, 6, 100])
def test_the_records_and_every_position_are_aiokafkas_own(position: int, max_records: int | None) -> None:
    ours, theirs = fetched(THREE, position), fetched(THREE, position)
    read = BatchReader(ours, Room(AMPLE))

    while theirs.has_more():
        assert seen(read(max_records)) == seen(theirs.getall(max_records))
        if theirs.has_more() and ours.has_more():
            assert position_of(ours) <= position_of(theirs)
    assert seen(read(max_records)) == []
    assert position_of(ours) == position_of(theirs) == 24


def test_a_marker_of_a_transaction_is_passed_over() -> None:
    marker = bytearray(batch(15, 1))
    marker[_ATTRIBUTES_AT + 1] |= _CONTROL
    ours = fetched(batch(10, 5) + bytes(marker), 10)
    ours._partition_records._check_crcs = False

    assert [record.offset for record in BatchReader(ours, Room(AMPLE))(None)] == [10, 11, 12, 13, 14]
    assert position_of(ours) == 16


def test_a_corrupt_batch_is_told_and_nothing_behind_it_is_read() -> None:
    damaged = bytearray(batch(15, 3))
    damaged[_CRC_AT : _CRC_AT + _CRC_BYTES] = b"\0\0\0\0"
    data = batch(10, 5) + bytes(damaged) + batch(18, 2)
    before, at = fetched(data, 10), fetched(bytes(damaged) + batch(18, 2), 15)

    assert [record.offset for record in BatchReader(before, Room(AMPLE))(None)] == [10, 11, 12, 13, 14]
    assert position_of(before) == 15
    assert not before.has_more()
    with pytest.raises(CorruptRecordException):
        BatchReader(at, Room(AMPLE))(None)
    assert position_of(at) == 15


def test_after_a_seek_nothing_is_handed_over() -> None:
    result = fetched(THREE, 10)
    read = BatchReader(result, Room(AMPLE))
    assert len(read(2)) == 2
    result._assignment.state.consumed_to(3)

    assert read(None) == []
    assert not result.has_more()


def test_given_up_transactions_are_left_to_aiokafka() -> None:
    result = fetched(THREE, 10, isolation=1, aborted=[(7, 10)])

    assert [record.offset for record in BatchReader(result, Room(AMPLE))(None)] == [*range(10, 18), *range(20, 24)]


def test_a_reading_ends_with_the_batch_that_fills_the_room_and_the_next_one_goes_on_there() -> None:
    one, other, room = fetched(THREE, 10), fetched(batch(30, 2), 30), Room(5 * len(b"value 10") + 1)
    read, read_other = BatchReader(one, room), BatchReader(other, room)

    assert [record.offset for record in read(None)] == [*range(10, 18)]
    assert (position_of(one), room.bytes) == (18, 1 - 3 * len(b"value 15"))
    assert read_other(None) == []
    assert other.has_more()
    room.bytes = 1
    assert [record.offset for record in read(None)] == [*range(20, 24)]
    room.bytes = 1
    assert [record.offset for record in read_other(None)] == [30, 31]


def test_what_is_left_of_a_batch_waits_for_room_as_well() -> None:
    result, room = fetched(THREE, 10), Room(AMPLE)
    read = BatchReader(result, room)
    assert len(read(2)) == 2
    room.bytes = 0

    assert read(2) == []
    room.bytes = 1
    assert [record.offset for record in read(2)] == [12, 13]
