"""The rules of what readers find beside the tables, held by the mirror in memory and by Redis alike."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from stream_app.contract import MAX_RECENT_MEMBER_BYTES, RECENT_EVENTS
from stream_app.redis_mirror import connect
from tests.conftest import MakeStack
from tests.contract.mirrors import Clock, MemoryMirrorAdapter, MemorySnapshots, RedisMirrorAdapter, Told
from tests.fakes.kafka_records import NOON_MS, chunk, record, window
from tests.fakes.memory_store import MemoryStore

pytestmark = pytest.mark.no_database
MINUTE = NOON_MS // 60_000


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def told(request: pytest.FixtureRequest) -> AsyncIterator[Told]:
    """Each of the two, empty."""
    store, clock = MemoryStore(), Clock()
    snapshots = MemorySnapshots(store)
    if request.param == "memory":
        yield Told(store, snapshots, clock, MemoryMirrorAdapter(snapshots, clock))
        return
    make_stack: MakeStack = request.getfixturevalue("make_stack")
    stack = make_stack(partitions=1)
    adapter = RedisMirrorAdapter(connect(stack.settings.redis), f"{stack.name}:", snapshots, clock)
    yield Told(store, snapshots, clock, adapter)
    await adapter.mirror.close()


async def test_counts_are_the_absolute_ones_of_the_store(told: Told) -> None:
    await told.write(record(0), record(0, severity="LOW"), record(0, NOON_MS + 60_000))
    await told.write(record(0), record(0, source="a|b"))

    assert await told.mirror.minute(MINUTE) == {"HIGH|web-01": 2, "LOW|web-01": 1, "HIGH|a|b": 1}
    assert await told.mirror.minute(MINUTE + 1) == {"HIGH|web-01": 1}
    assert await told.mirror.totals() == {"HIGH|web-01": 3, "LOW|web-01": 1, "HIGH|a|b": 1}


async def test_telling_the_same_twice_changes_nothing(told: Told) -> None:
    await told.store.positions({0: 0})
    made = window([chunk(0, range(3))], {0: 0})
    stored = await told.store.write(made)
    for _ in range(2):
        await told.mirror.apply(stored, made.fenced.appended_ms, more_waits=False)

    assert await told.mirror.totals() == {"HIGH|web-01": 3}
    assert len(await told.mirror.recent()) == 3


async def test_recent_events_are_newest_first_by_their_own_time(told: Told) -> None:
    await told.write(record(0, timestamp="2026-11-24T09:00:02Z", message="c"))
    await told.write(
        record(0, timestamp="2026-11-24T09:00:01Z", message="b", severity="LOW"),
        record(0, timestamp="2026-11-24T09:00:03Z", message="d"),
        record(0, timestamp="2026-11-24T09:00:00Z", message="a"),
    )

    assert await told.messages() == ["d", "c", "b", "a"]
    assert await told.messages(3) == ["d", "c", "a"]
    assert await told.messages(1) == ["b"]


async def test_the_lists_keep_the_newest_thousand(told: Told) -> None:
    await told.write(*(record(0, NOON_MS - 5000 + n, message=str(n)) for n in range(600)))
    await told.write(*(record(0, NOON_MS - 5000 + n, message=str(n)) for n in range(600, 1200)))
    await told.mirror.tell()

    expected = [str(n) for n in range(1199, 1199 - RECENT_EVENTS, -1)]
    assert await told.messages() == expected
    assert await told.messages(3) == expected


async def test_an_old_event_does_not_push_out_a_newer_one(told: Told) -> None:
    await told.write(*(record(0, NOON_MS - 5000 + n, message=str(n)) for n in range(RECENT_EVENTS)))
    await told.write(record(0, timestamp="2026-11-01T00:00:00Z", message="late"))

    assert "late" not in await told.messages()


async def test_an_event_dated_far_ahead_is_counted_and_in_no_list(told: Told) -> None:
    await told.write(record(0, message="now"), record(0, timestamp="2026-11-25T00:00:00Z", message="ahead"))

    assert await told.messages() == ["now"]
    assert await told.mirror.totals() == {"HIGH|web-01": 2}


async def test_an_event_that_came_near_is_in_the_lists_once_it_is_added(told: Told) -> None:
    await told.write(record(0, message="now"), record(0, timestamp="2026-11-24T10:30:00Z", message="ahead"))
    assert await told.messages() == ["now"]

    told.clock.now_s += 1260
    near = (await told.snapshots.snapshot(told.clock.now_s)).recent
    for _ in range(2):
        await told.mirror.add_recent(near)

    assert await told.messages() == ["ahead", "now"]
    assert await told.messages(3) == ["ahead", "now"]


async def test_a_large_event_stands_in_the_list_as_a_stub(told: Told) -> None:
    await told.write(record(0, message="x" * MAX_RECENT_MEMBER_BYTES))

    (stub,) = [orjson.loads(content) for content in await told.mirror.recent()]
    assert (stub["large"], stub["timestamp"], set(stub)) == (True, "2026-11-24T10:00:00Z", {"id", "timestamp", "large"})


async def test_times_up_to_which_all_is_told_move_with_windows_and_at_ends(told: Told) -> None:
    await told.write(record(0, NOON_MS - 500))
    assert await told.mirror.until_us() == {0: (NOON_MS - 500) * 1000}
    await told.mirror.move_stored_until({0: NOON_MS, 1: NOON_MS + 5})

    assert await told.mirror.until_us() == {0: NOON_MS * 1000, 1: (NOON_MS + 5) * 1000}


async def test_after_it_was_wiped_everything_is_there_again(told: Told) -> None:
    await told.write(*(record(0, NOON_MS + n, attributes={"n": n}) for n in range(5)), record(0, severity="INFO"))
    before = (
        [await told.mirror.recent(n) for n in (None, 0, 3)],
        await told.mirror.totals(),
        await told.mirror.minute(MINUTE),
    )
    await told.mirror.wipe()
    assert not await told.mirror.is_seeded()

    await told.mirror.move_stored_until({0: NOON_MS + 100})

    assert await told.mirror.is_seeded()
    after = (
        [await told.mirror.recent(n) for n in (None, 0, 3)],
        await told.mirror.totals(),
        await told.mirror.minute(MINUTE),
    )
    assert after == before
    assert await told.mirror.until_us() == {0: (NOON_MS + 100) * 1000}


async def test_what_it_was_not_told_of_is_made_good_when_it_is_marked_stale(told: Told) -> None:
    await told.write(record(0, message="a"))
    await told.write(record(0, message="b"), tell=False)
    told.mirror.mark_stale()
    await told.write(record(0, NOON_MS + 1, message="c"))

    assert sorted(await told.messages()) == ["a", "b", "c"]
    assert await told.mirror.totals() == {"HIGH|web-01": 3}


async def test_it_is_seeded_once_it_was_told_of_anything(told: Told) -> None:
    assert not await told.mirror.is_seeded()
    await told.write(record(0))

    assert await told.mirror.is_seeded()
    assert told.snapshots.taken == 1
