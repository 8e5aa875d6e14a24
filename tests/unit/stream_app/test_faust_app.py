"""The chunk consumer: what it hands over, around seeks and gaps, without a broker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_app.chunks import MAX_BUFFERED_BYTES, BufferedEvents, Chunk
from stream_app.faust_app import ChunkConsumer
from stream_app.reading import Reading
from tests.fakes.kafka_records import TOPIC, FakeRecord, record

TP0, TP1 = TP(TOPIC, 0), TP(TOPIC, 1)


class FakeApp:
    """What a consumer needs of the application."""

    def __init__(self) -> None:
        self.buffered = BufferedEvents()
        self.buffer_size = 100
        self.deliveries = self
        self.in_group = True
        self.went_back: list[tuple[int, int, int]] = []
        self.stored = {0: 50}
        self.meanwhile: Callable[[], None] = lambda: None

    async def start_positions(self, *_: Any) -> Mapping[int, int]:
        await asyncio.sleep(0)
        self.meanwhile()
        return self.stored

    def log_went_back(self, partition: int, position: int, offset: int) -> None:
        self.went_back.append((partition, position, offset))


class FetchedConsumer(ChunkConsumer):
    """A chunk consumer whose fetches are given, and whose seeks are noted."""

    def __init__(self) -> None:
        # Not the base class's: that wants a broker.
        self.app = FakeApp()
        self.reading, self._sought, self.settled = Reading(), set(), True
        self._seeks_under_way, self._rebalance_steps = Counter(), 0
        self._committed_offset = {}
        self.seeks: list[tuple[int, int]] = []

    async def seek(self, partition: TP, offset: int) -> None:
        self.seeks.append((partition.partition, offset))

    def assignment(self) -> set[TP]:
        return {TP0}

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, 0)

    def begin_rebalance(self) -> None:
        """What is done before Faust's own part, which wants an application."""
        self._note_rebalance(begins=True)

    def end_rebalance(self) -> None:
        self._note_rebalance(begins=False)


Fetch = Callable[
    [Mapping[TP, list[FakeRecord]], Callable[[], Awaitable[None]] | None], Awaitable[dict[TP, list[Chunk]]]
]


@pytest.fixture
def consumer() -> FetchedConsumer:
    return FetchedConsumer()


@pytest.fixture
def fetch(consumer: FetchedConsumer, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    async def run(
        found: Mapping[TP, list[FakeRecord]], meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> dict[TP, list[Chunk]]:
        async def getmany(*_: Any) -> Mapping[TP, list[FakeRecord]]:
            await asyncio.sleep(0)
            if meanwhile is not None:
                await meanwhile()
            return found

        # Faust's own method, which asks the broker.
        monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
        return await consumer._getmany(None, 1.0)

    return run


def records(*offsets: int) -> list[FakeRecord]:
    return [record(offset) for offset in offsets]


async def test_a_fetch_of_one_partition_is_one_chunk(consumer: FetchedConsumer, fetch: Any) -> None:
    found = await fetch({TP0: records(4, 5, 6), TP1: records(9)})

    assert [(c.partition, c.position, c.offset) for chunks in found.values() for c in chunks] == [(0, 4, 6), (1, 9, 9)]
    assert consumer.app.buffered.count == 4


async def test_a_chunk_begins_where_the_one_before_it_ended(consumer: FetchedConsumer, fetch: Any) -> None:
    await fetch({TP0: records(4, 5)})
    ((second,),) = (await fetch({TP0: records(9)})).values()

    assert second.position == 6


async def test_a_chunk_after_a_seek_begins_where_was_sought(consumer: FetchedConsumer, fetch: Any) -> None:
    await fetch({TP0: records(4, 5)})
    await consumer.seek_to(TP0, 2)
    ((second,),) = (await fetch({TP0: records(3)})).values()

    assert second.position == 2
    assert consumer.app.went_back == []


async def test_a_fetch_answered_around_a_seek_is_read_again_so_that_no_offset_passes_for_a_hole(
    consumer: FetchedConsumer, fetch: Any
) -> None:
    await fetch({TP0: records(290), TP1: records(7)})

    async def seek_back() -> None:
        await consumer.seek_to(TP0, 50)

    found = await fetch({TP0: records(291, 292), TP1: records(8)}, seek_back)
    again = await fetch({TP0: records(50, 51)})

    assert [tp.partition for tp in found] == [1]
    assert consumer.seeks == [(0, 50), (0, 50)]
    assert (again[TP0][0].position, again[TP0][0].offset) == (50, 51)


async def test_a_partition_sought_while_another_one_is_sought_again_is_read_again_too(
    consumer: FetchedConsumer, fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetch({TP0: records(290), TP1: records(7)})
    note = consumer.seek

    async def seek_during_a_seek(partition: TP, offset: int) -> None:
        await note(partition, offset)
        if len(consumer.seeks) == 2:
            await consumer.seek_to(TP1, 3868)

    monkeypatch.setattr(consumer, "seek", seek_during_a_seek)
    found = await fetch({TP0: records(291), TP1: records(8)}, lambda: consumer.seek_to(TP0, 50))

    assert found == {}
    assert consumer.app.went_back == []
    assert consumer.seeks == [(0, 50), (0, 50), (1, 3868), (1, 3868)]


async def test_a_fetch_around_a_seek_that_was_forgotten_meanwhile_follows_on_nothing(
    consumer: FetchedConsumer, fetch: Any
) -> None:
    await fetch({TP0: records(290)})

    async def seek_and_forget() -> None:
        await consumer.seek_to(TP0, 50)
        consumer.reading.forget()

    ((chunk,),) = (await fetch({TP0: records(291)}, seek_and_forget)).values()

    assert (chunk.position, consumer.app.went_back) == (291, [])


async def test_a_log_that_goes_on_below_is_told_at_once(consumer: FetchedConsumer, fetch: Any) -> None:
    await fetch({TP0: records(40, 41)})
    await fetch({TP0: records(0)})

    assert consumer.app.went_back == [(0, 42, 0)]


async def test_what_is_read_during_a_rebalance_follows_on_nothing(consumer: FetchedConsumer, fetch: Any) -> None:
    await fetch({TP0: records(40, 41)})
    consumer.settled = False
    ((lower,),) = (await fetch({TP0: records(20)})).values()
    ((higher,),) = (await fetch({TP0: records(90)})).values()

    assert (lower.position, higher.position) == (20, 90)
    assert consumer.app.went_back == []


async def test_after_a_rebalance_each_partition_is_sought_and_then_it_is_settled(consumer: FetchedConsumer) -> None:
    consumer.begin_rebalance()
    consumer.end_rebalance()
    assert not consumer.settled

    await consumer.perform_seek()

    assert (consumer.settled, consumer.seeks) == (True, [(0, 50)])


async def test_a_seek_that_a_rebalance_came_into_settles_nothing(consumer: FetchedConsumer, fetch: Any) -> None:
    consumer.begin_rebalance()
    consumer.end_rebalance()
    consumer.app.meanwhile = consumer.begin_rebalance

    await consumer.perform_seek()
    # From where the group says, which is behind what another worker has stored and the store said before.
    consumer.end_rebalance()
    await fetch({TP0: records(20)})

    assert (consumer.settled, consumer.app.went_back) == (False, [])


async def test_a_seek_that_a_whole_rebalance_came_into_settles_nothing(consumer: FetchedConsumer) -> None:
    def rebalance() -> None:
        consumer.begin_rebalance()
        consumer.end_rebalance()

    consumer.app.meanwhile = rebalance
    consumer.settled = False

    await consumer.perform_seek()

    assert (consumer.settled, consumer.seeks) == (False, [])


async def test_nothing_is_sought_while_a_rebalance_is_under_way(consumer: FetchedConsumer) -> None:
    consumer.begin_rebalance()

    await consumer.perform_seek()

    assert (consumer.settled, consumer.seeks) == (False, [])


async def test_a_fetch_that_a_whole_rebalance_came_into_follows_on_nothing(
    consumer: FetchedConsumer, fetch: Any
) -> None:
    await fetch({TP0: records(40, 41)})

    async def rebalance() -> None:
        consumer.begin_rebalance()
        consumer.end_rebalance()
        consumer.settled = True

    ((chunk,),) = (await fetch({TP0: records(20)}, rebalance)).values()

    assert (chunk.position, consumer.app.went_back) == (20, [])


async def test_above_the_cap_on_buffered_events_nothing_is_fetched(consumer: FetchedConsumer, fetch: Any) -> None:
    held = await fetch({TP0: records(*range(100))})
    assert await fetch({TP0: records(100)}) == {}
    del held

    assert len(await fetch({TP0: records(100)})) == 1


async def test_above_the_cap_on_buffered_bytes_nothing_is_fetched(consumer: FetchedConsumer, fetch: Any) -> None:
    consumer.app.buffered.bytes = MAX_BUFFERED_BYTES

    assert await fetch({TP0: records(100)}) == {}


async def test_what_is_read_past_without_a_record_is_known_until_the_next_one(
    consumer: FetchedConsumer, fetch: Any
) -> None:
    states = {TP0: SimpleNamespace(_position=8), TP1: SimpleNamespace(_position=None)}
    assignment = SimpleNamespace(state_value=states.get)
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    consumer._thread = SimpleNamespace(_consumer=SimpleNamespace(_subscription=subscription))  # type: ignore[assignment]
    await fetch({TP0: records(4, 5), TP1: records(3)})
    # The records of this fetch are not read past.
    assert consumer.reading.passed == {}

    await fetch({})
    assert consumer.reading.passed == {0: (6, 8)}
    ((chunk,),) = (await fetch({TP0: records(8)})).values()

    assert (chunk.position, consumer.reading.passed) == (6, {})


async def test_a_seek_forgets_what_was_read_past(consumer: FetchedConsumer) -> None:
    consumer.reading.passed = {0: (6, 8)}

    await consumer.seek_to(TP0, 2)

    assert consumer.reading.passed == {}


async def test_faust_drops_no_offset_by_its_own_record_of_them() -> None:
    from stream_app.chunks import NothingRead

    noted = NothingRead()
    noted[TP0] = 300

    assert noted[TP0] is None
