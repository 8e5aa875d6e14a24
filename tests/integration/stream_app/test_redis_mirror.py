"""What only Redis has of a mirror: windows told together, times to live, and its own trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from stream_app.contract import MINUTE_COUNTS_KEPT_S
from stream_app.mirror_parts import Snapshot
from stream_app.redis_mirror import CATCHING_UP_S, connect
from tests.contract.mirrors import Clock, MemorySnapshots, RedisMirrorAdapter, Told
from tests.fakes.kafka_records import NOON_MS, record
from tests.fakes.memory_store import MemoryStore
from tests.processes import eventually
from tests.servers import Stack

pytestmark = pytest.mark.no_database
MINUTE = NOON_MS // 60_000


@dataclass
class OnRedis(Told):
    """The same with Redis for sure."""

    @property
    def redis(self) -> RedisMirrorAdapter:
        assert isinstance(self.mirror, RedisMirrorAdapter)
        return self.mirror


@pytest.fixture
async def on_redis(stack: Stack) -> AsyncIterator[OnRedis]:
    """Redis alone."""
    store, clock = MemoryStore(), Clock()
    snapshots = MemorySnapshots(store)
    adapter = RedisMirrorAdapter(connect(stack.settings.redis), f"{stack.name}:", snapshots, clock)
    yield OnRedis(store, snapshots, clock, adapter)
    await adapter.mirror.close()


@pytest.mark.integration
async def test_while_more_waits_several_windows_are_told_together_within_a_second(on_redis: OnRedis) -> None:
    assert await on_redis.write(record(0, NOON_MS, message="a"))
    assert not await on_redis.write(record(0, NOON_MS + 1, message="b"), more_waits=True)
    assert await on_redis.messages() == ["a"]
    on_redis.clock.now_s += 1.1
    assert await on_redis.write(record(0, NOON_MS + 1100, message="c"), more_waits=True)

    assert await on_redis.messages() == ["c", "b", "a"]
    assert await on_redis.mirror.totals() == {"HIGH|web-01": 3}


@pytest.mark.integration
async def test_a_window_after_which_nothing_waits_is_told_with_those_before_it(on_redis: OnRedis) -> None:
    await on_redis.write(record(0, NOON_MS, message="a"))
    await on_redis.write(record(0, NOON_MS + 1, message="b"), more_waits=True)
    await on_redis.write(record(0, NOON_MS + 2, message="c"))

    assert await on_redis.messages() == ["c", "b", "a"]


@pytest.mark.integration
async def test_windows_of_a_backlog_are_not_told_and_made_good_at_its_end(on_redis: OnRedis) -> None:
    await on_redis.write(record(0, NOON_MS, message="a"))
    on_redis.clock.now_s += CATCHING_UP_S + 60
    for n in range(1, 4):
        assert await on_redis.write(record(0, NOON_MS + n, message=str(n)))
    assert await on_redis.messages() == ["a"]
    on_redis.clock.now_s += 5
    await on_redis.mirror.move_stored_until({0: int(on_redis.clock.now_s * 1000)})

    assert await on_redis.messages() == ["3", "2", "1", "a"]
    assert await on_redis.mirror.totals() == {"HIGH|web-01": 4}


@pytest.mark.integration
async def test_counts_of_a_minute_go_after_a_day(on_redis: OnRedis) -> None:
    await on_redis.write(record(0))
    await on_redis.write(record(0))

    left_s = await on_redis.redis.client.ttl(on_redis.redis.keys.minute_counts(MINUTE))
    assert 86_400 < left_s <= MINUTE_COUNTS_KEPT_S


@pytest.mark.integration
async def test_counts_of_a_minute_ahead_are_kept_longer_and_of_one_far_ahead_not_at_all(on_redis: OnRedis) -> None:
    await on_redis.write(record(0))
    await on_redis.write(record(0, timestamp="2026-11-25T10:00:00Z"), record(0, timestamp="9999-01-01T00:00:00Z"))
    await on_redis.write(record(0, timestamp="2026-11-25T10:00:30Z"))

    keys = on_redis.redis.keys
    left_s = await on_redis.redis.client.ttl(keys.minute_counts(MINUTE + 1440))
    assert MINUTE_COUNTS_KEPT_S < left_s <= MINUTE_COUNTS_KEPT_S + 86_400
    assert await on_redis.mirror.minute(MINUTE + 1440) == {"HIGH|web-01": 2}
    kept = [key async for key in on_redis.redis.client.scan_iter(match=keys.minute_counts_prefix + "*")]
    assert len(kept) == 2


@pytest.mark.integration
async def test_a_rebuild_that_takes_long_holds_no_window_up_and_loses_nothing(on_redis: OnRedis) -> None:
    taking, go_on = on_redis.snapshots.snapshot, asyncio.Event()

    class Slow:
        async def snapshot(self, now_s: float) -> object:
            taken = await taking(now_s)
            await go_on.wait()
            return taken

    on_redis.redis.mirror._source = Slow()  # type: ignore[assignment]
    await on_redis.write(record(0, message="a"))
    await on_redis.write(record(0, message="b"))
    await on_redis.mirror.tell()
    assert not await on_redis.mirror.is_seeded()
    assert await on_redis.mirror.until_us() == {}, "the lists are not whole yet"

    go_on.set()
    await eventually(on_redis.mirror.is_seeded, "rebuilt")
    assert sorted(await on_redis.messages()) == ["a", "b"]
    assert await on_redis.mirror.totals() == {"HIGH|web-01": 2}
    assert await on_redis.mirror.until_us() == {0: NOON_MS * 1000}
    assert on_redis.redis.figures.rebuilds == 1


@pytest.mark.integration
async def test_counts_of_minutes_long_past_are_not_kept(on_redis: OnRedis) -> None:
    await on_redis.write(record(0))
    await on_redis.write(record(0, timestamp="2026-11-01T00:00:00Z"))

    keys = await on_redis.redis.client.keys(f"{on_redis.redis.keys.prefix}counts:minute:*")
    assert keys == [on_redis.redis.keys.minute_counts(MINUTE).encode()]
    assert await on_redis.mirror.totals() == {"HIGH|web-01": 2}


@pytest.mark.integration
async def test_a_frozen_redis_holds_a_window_up_for_seconds_at_most_and_is_made_good(
    on_redis: OnRedis, stack: Stack
) -> None:
    await on_redis.write(record(0, message="a"))
    stack.servers.redis.freeze()
    try:
        assert await on_redis.write(record(0, message="b"))
        # Within the pause after a failure Redis is not even asked.
        assert await on_redis.write(record(0, message="c"))
    finally:
        stack.servers.redis.thaw()
    on_redis.clock.now_s += 5
    await on_redis.mirror.move_stored_until({0: NOON_MS + 5000})

    assert sorted(await on_redis.messages()) == ["a", "b", "c"]
    assert await on_redis.mirror.totals() == {"HIGH|web-01": 3}


@pytest.mark.integration
@pytest.mark.parametrize("name", ["total_counts", "recent", "seeded", "rebuilding"])
async def test_a_key_of_the_wrong_kind_raises_nothing_and_is_replaced(on_redis: OnRedis, name: str) -> None:
    await on_redis.write(record(0, NOON_MS, message="a"))
    key = getattr(on_redis.redis.keys, name)
    await on_redis.redis.client.delete(key)
    await on_redis.redis.client.rpush(key, "a list")

    assert await on_redis.write(record(0, NOON_MS + 1, message="b"))
    # A Redis that failed is left alone for a while.
    on_redis.clock.now_s += 4
    await on_redis.write(record(0, NOON_MS + 4000, message="c"))
    on_redis.clock.now_s += 4
    await on_redis.write(record(0, NOON_MS + 8000, message="d"))

    assert await on_redis.messages() == ["d", "c", "b", "a"]
    assert await on_redis.mirror.totals() == {"HIGH|web-01": 4}


@pytest.mark.integration
async def test_while_postgresql_is_away_nothing_is_raised_and_it_is_made_good_later(on_redis: OnRedis) -> None:
    on_redis.snapshots.away = True
    assert await on_redis.write(record(0, message="a"))
    assert not await on_redis.mirror.is_seeded()
    on_redis.snapshots.away = False
    on_redis.clock.now_s += 5
    await on_redis.mirror.move_stored_until({0: NOON_MS})

    assert await on_redis.messages() == ["a"]


@pytest.mark.integration
async def test_what_goes_stale_while_it_is_rebuilt_is_rebuilt_again(on_redis: OnRedis) -> None:
    taking = on_redis.snapshots.snapshot

    class Interrupted:
        async def snapshot(self, now_s: float) -> object:
            taken = await taking(now_s)
            if on_redis.snapshots.taken == 1:
                # A commit whose answer was lost, noticed after the reading.
                await on_redis.write(record(0, message="late"), tell=False)
                on_redis.mirror.mark_stale()
            return taken

    on_redis.redis.mirror._source = Interrupted()  # type: ignore[assignment]
    await on_redis.mirror.move_stored_until({0: NOON_MS})
    await on_redis.mirror.move_stored_until({0: NOON_MS + 1})

    assert on_redis.snapshots.taken == 2
    assert await on_redis.messages() == ["late"]


@pytest.mark.integration
async def test_a_redis_that_does_not_answer_its_port_raises_nothing(stack: Stack) -> None:
    store, clock = MemoryStore(), Clock()
    snapshots = MemorySnapshots(store)
    nowhere: Redis = connect(stack.settings.redis.model_copy(update={"port": 1}))
    adapter = RedisMirrorAdapter(nowhere, "x:", snapshots, clock)

    assert await Told(store, snapshots, clock, adapter).write(record(0))
    await adapter.mirror.close()


class Gated:
    """Snapshots that wait for a sign; `at_sign` is done before they are given."""

    def __init__(self, on_redis: OnRedis, at_sign: Callable[[], Awaitable[object]]) -> None:
        self._taking, self._at_sign = on_redis.snapshots.snapshot, at_sign
        self.go_on = asyncio.Event()
        on_redis.redis.mirror._source = self

    async def snapshot(self, now_s: float) -> Snapshot:
        await self.go_on.wait()
        taken = await self._taking(now_s)
        await self._at_sign()
        return taken


async def nothing() -> None:
    """At a sign."""


@pytest.mark.integration
async def test_after_postgresql_was_set_back_no_time_of_before_is_promised(on_redis: OnRedis) -> None:
    gated = Gated(on_redis, nothing)
    await on_redis.mirror.move_stored_until({0: NOON_MS})
    on_redis.mirror.mark_set_back()
    on_redis.snapshots.until_us[0] = (NOON_MS - 3_600_000) * 1000
    gated.go_on.set()

    async def is_rebuilt() -> bool:
        await on_redis.mirror.tell()
        return await on_redis.mirror.is_seeded()

    await eventually(is_rebuilt, "rebuilt")
    assert await on_redis.mirror.until_us() == {0: (NOON_MS - 3_600_000) * 1000}


@pytest.mark.integration
async def test_a_redis_emptied_while_it_is_filled_is_not_called_whole(on_redis: OnRedis) -> None:
    gated = Gated(on_redis, on_redis.mirror.wipe)
    gated.go_on.set()
    await on_redis.mirror.move_stored_until({0: NOON_MS})

    assert not await on_redis.mirror.is_seeded()


@pytest.mark.integration
async def test_a_rebuild_that_fails_for_a_reason_of_our_own_promises_nothing(on_redis: OnRedis) -> None:
    await on_redis.write(record(0))

    async def fail() -> None:
        raise ValueError("not foreseen")

    Gated(on_redis, fail).go_on.set()
    on_redis.mirror.mark_stale()
    before = await on_redis.mirror.until_us()
    for later_ms in (1, 5000):
        on_redis.clock.now_s += later_ms / 1000
        await on_redis.mirror.move_stored_until({0: NOON_MS + later_ms})

    assert await on_redis.mirror.until_us() == before
    assert "redis" in on_redis.redis.figures.retries


@pytest.mark.integration
async def test_only_who_begins_a_rebuild_waits_for_it(on_redis: OnRedis) -> None:
    gated = Gated(on_redis, nothing)
    await on_redis.mirror.tell()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(20):
        await on_redis.mirror.tell()
    assert loop.time() - began_s < 5.0, "half a second each would be ten"
    gated.go_on.set()
