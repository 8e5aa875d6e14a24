"""Windows end by size or by time, never split a chunk, and go on filling while the writer is busy."""

from __future__ import annotations

import asyncio

from stream_app.chunks import BufferedEvents, Chunk
from stream_app.windowing import Delivery, Windower
from tests.fakes.kafka_records import chunk
from tests.unit.stream_app.pipeline_bench import quiet

LONG_S = 3600.0


def bounded(max_window_bytes: int) -> BufferedEvents:
    buffered = BufferedEvents()
    buffered.max_window_bytes = max_window_bytes
    return buffered


def delivery(first: int, count: int) -> Delivery:
    return Delivery(chunk(0, range(first, first + count)), lambda: None)


def sizes(deliveries: list[Delivery]) -> list[int]:
    return [len(item.chunk.records) for item in deliveries]


def idle() -> asyncio.Future[None] | None:
    return None


async def window(windower: Windower) -> list[int]:
    async with asyncio.timeout(5):
        return sizes(await windower.window(idle))


async def test_a_window_is_whole_as_soon_as_it_is_full() -> None:
    windower = Windower(10, LONG_S, BufferedEvents())
    for first in (0, 5, 10):
        windower.put(delivery(first, 5))

    assert await window(windower) == [5, 5]
    assert windower.waits


async def test_a_chunk_that_does_not_fit_begins_the_next_window_unsplit() -> None:
    windower = Windower(10, LONG_S, BufferedEvents())
    for first, count in ((0, 6), (6, 7), (13, 3)):
        windower.put(delivery(first, count))

    assert await window(windower) == [6]
    assert windower.waits
    assert await window(windower) == [7, 3]
    assert not windower.waits


async def test_a_window_ends_also_by_the_bytes_of_its_values() -> None:
    windower = Windower(100, LONG_S, bounded(delivery(0, 2).chunk.bytes))
    for first in range(5):
        windower.put(delivery(first, 1))

    assert await window(windower) == [1, 1]
    assert await window(windower) == [1, 1]


async def test_a_chunk_that_does_not_fit_by_its_bytes_begins_the_next_window() -> None:
    windower = Windower(100, LONG_S, bounded(delivery(0, 3).chunk.bytes))
    for first in (0, 2, 4):
        windower.put(delivery(first, 2))

    assert await window(windower) == [2]
    assert windower.waits


async def test_one_chunk_may_fill_a_window() -> None:
    windower = Windower(10, LONG_S, BufferedEvents())
    windower.put(delivery(0, 10))

    assert await window(windower) == [10]


async def test_a_window_ends_by_time_after_its_first_chunk() -> None:
    windower = Windower(10, 0.02, BufferedEvents())
    windower.put(delivery(0, 3))

    assert await window(windower) == [3]


async def test_there_is_no_empty_window() -> None:
    windower = Windower(10, 0.001, BufferedEvents())
    waiting = asyncio.ensure_future(window(windower))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    windower.put(delivery(0, 1))

    assert await waiting == [1]


async def test_an_overdue_window_goes_on_filling_while_the_writer_is_busy() -> None:
    windower, busy = Windower(10, 0.001, BufferedEvents()), asyncio.get_running_loop().create_future()
    windower.put(delivery(0, 2))
    waiting = asyncio.ensure_future(windower.window(lambda: None if busy.done() else busy))
    await asyncio.sleep(0.02)
    windower.put(delivery(2, 3))
    await quiet()
    assert not waiting.done()
    busy.set_result(None)

    async with asyncio.timeout(5):
        assert sizes(await waiting) == [2, 3]


async def test_an_overdue_window_that_becomes_full_does_not_wait_for_the_writer() -> None:
    windower, busy = Windower(5, 0.001, BufferedEvents()), asyncio.get_running_loop().create_future()
    windower.put(delivery(0, 2))
    waiting = asyncio.ensure_future(windower.window(lambda: busy))
    await asyncio.sleep(0.02)
    windower.put(delivery(2, 3))

    async with asyncio.timeout(5):
        assert sizes(await waiting) == [2, 3]
    busy.cancel()


async def test_nothing_is_lost_where_a_chunk_comes_as_the_writer_ends() -> None:
    windower, busy = Windower(10, 0.001, BufferedEvents()), asyncio.get_running_loop().create_future()
    windower.put(delivery(0, 2))
    waiting = asyncio.ensure_future(windower.window(lambda: None if busy.done() else busy))
    await asyncio.sleep(0.02)
    busy.set_result(None)
    windower.put(delivery(2, 3))
    async with asyncio.timeout(5):
        taken = sizes(await waiting)
        if taken == [2]:
            taken += await window(windower)

    assert taken == [2, 3]


async def test_discarding_forgets_what_is_queued_and_what_was_held() -> None:
    windower = Windower(5, 0.001, BufferedEvents())
    windower.put(delivery(0, 4))
    windower.put(delivery(4, 4))
    windower.put(delivery(8, 4))
    await window(windower)
    windower.discard()

    assert not windower.waits
    windower.put(delivery(0, 1))
    assert await window(windower) == [1]


async def test_chunks_leave_in_the_order_they_came() -> None:
    windower = Windower(100, 0.001, BufferedEvents())
    chunks: list[Chunk] = [chunk(n % 3, [n]) for n in range(9)]
    for item in chunks:
        windower.put(Delivery(item, lambda: None))

    assert [item.chunk for item in await windower.window(idle)] == chunks
