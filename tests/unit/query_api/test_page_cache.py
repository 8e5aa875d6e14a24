"""The page cache: how old an answer may be, and that one question is computed once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from query_api.page_cache import MAX_KEPT_BYTES, Answer, CachePolicy, Made, PageCache
from query_api.telemetry import CacheResult
from tests.fakes.memory_pages import MemoryPages, NoPages
from tests.unit.query_api.builders import Clock

POLICY = CachePolicy(enabled=True, ttl_s=60.0, open_range_ttl_s=1.0, max_memory_bytes=1 << 22)
# What is kept is in the store alone.
IN_STORE = replace(POLICY, max_memory_bytes=0)
EITHER = pytest.mark.parametrize("policy", [POLICY, IN_STORE], ids=["in memory", "in the store"])


class Tally:
    """Counts how questions were answered."""

    def __init__(self) -> None:
        self.results: Counter[CacheResult] = Counter()

    def cache_answered(self, result: CacheResult) -> None:
        self.results[result] += 1


class StuckPages(NoPages):
    """A PageStore that never finishes keeping anything."""

    def __init__(self) -> None:
        self.puts = 0

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:  # noqa: ARG002 - the interface's name
        self.puts += 1
        await asyncio.Event().wait()


class Bench:
    """A cache, and a way to make answers that are numbered."""

    def __init__(self, policy: CachePolicy = POLICY) -> None:
        self.clock = Clock()
        self.pages = MemoryPages(self.clock)
        self.tally = Tally()
        self.cache = PageCache(self.pages, policy, self.clock, self.tally)
        self.made = 0
        self.padding = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: Exception | None = None

    async def ask(self, key: str = "k", *, closed: bool = True, is_costly: bool = True) -> Answer:
        async def make() -> Made:
            self.made += 1
            body = b'{"n":%d}' % self.made + b" " * self.padding
            await self.gate.wait()
            if self.trouble is not None:
                raise self.trouble
            return Made(body, closed)

        return await self.cache.answer(key, make, is_costly=is_costly)


@EITHER
async def test_the_same_question_is_answered_again_with_its_age(policy: CachePolicy) -> None:
    bench = Bench(policy)
    assert await bench.ask() == Answer(b'{"n":1}', None)
    bench.clock.now_s += 30
    again = await bench.ask()
    assert again.body == b'{"n":1}'
    assert again.age_s == pytest.approx(30.0)
    assert bench.tally.results == {"miss": 1, "hit": 1}


async def test_another_question_is_another_answer() -> None:
    bench = Bench()
    await bench.ask("a")
    assert (await bench.ask("b")).body == b'{"n":2}'


@EITHER
@pytest.mark.parametrize(("closed", "ttl_s"), [(True, 60.0), (False, 1.0)])
async def test_no_answer_is_older_than_its_ttl(closed: bool, ttl_s: float, policy: CachePolicy) -> None:
    bench = Bench(policy)
    await bench.ask(closed=closed)
    bench.clock.now_s += ttl_s - 0.01
    assert (await bench.ask(closed=closed)).age_s is not None
    bench.clock.now_s += 0.02
    assert (await bench.ask(closed=closed)).body == b'{"n":2}'


async def test_a_store_that_forgets_to_expire_does_no_harm() -> None:
    bench = Bench(IN_STORE)
    await bench.ask()
    bench.pages.kept = {key: (value, 1e9) for key, (value, _) in bench.pages.kept.items()}
    bench.clock.now_s += 61
    assert (await bench.ask()).body == b'{"n":2}'


@EITHER
async def test_the_age_counts_from_before_the_answer_was_made(policy: CachePolicy) -> None:
    bench = Bench(policy)
    bench.gate.clear()
    asking = asyncio.create_task(bench.ask())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.clock.now_s += 5
    bench.gate.set()
    await asking
    assert (await bench.ask()).age_s == pytest.approx(5.0)


async def test_those_who_ask_at_once_share_one_computation() -> None:
    bench = Bench()
    bench.gate.clear()
    asking = [asyncio.create_task(bench.ask()) for _ in range(10)]
    await asyncio.sleep(0.01)
    bench.gate.set()
    answers = await asyncio.gather(*asking)
    assert bench.made == 1
    assert {answer.body for answer in answers} == {b'{"n":1}'}
    assert bench.tally.results == {"miss": 1, "shared": 9}


@pytest.mark.parametrize(("age_s", "made"), [(1.0, 1), (1.01, 2)])
async def test_an_answer_under_way_is_shared_only_while_it_is_younger_than_the_shortest_ttl(
    age_s: float, made: int
) -> None:
    bench = Bench()
    bench.gate.clear()
    first = asyncio.create_task(bench.ask())
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.made == 1
    bench.clock.now_s += age_s
    second = asyncio.create_task(bench.ask())
    for _ in range(10):
        await asyncio.sleep(0)
    bench.gate.set()
    await asyncio.gather(first, second)
    assert bench.made == made


async def test_one_who_goes_away_does_not_take_the_answer_from_the_others() -> None:
    bench = Bench()
    bench.gate.clear()
    first, second = asyncio.create_task(bench.ask()), asyncio.create_task(bench.ask())
    await asyncio.sleep(0.01)
    first.cancel()
    bench.gate.set()
    assert (await second).body == b'{"n":1}'


async def test_trouble_is_everyones_and_is_not_kept() -> None:
    bench = Bench()
    bench.trouble = RuntimeError("away")
    with pytest.raises(RuntimeError):
        await bench.ask()
    bench.trouble = None
    assert (await bench.ask()).body == b'{"n":2}'


async def test_without_a_store_every_answer_is_made() -> None:
    bench = Bench()
    bench.cache = PageCache(NoPages(), IN_STORE, bench.clock, bench.tally)
    await bench.ask()
    assert await bench.ask() == Answer(b'{"n":2}', None)


async def test_a_cache_that_is_turned_off_keeps_nothing() -> None:
    bench = Bench(replace(POLICY, enabled=False))
    await bench.ask()
    await bench.ask()
    assert (bench.made, bench.pages.kept) == (2, {})
    assert bench.tally.results == {"bypass": 2}


async def test_a_ttl_of_zero_keeps_nothing() -> None:
    bench = Bench(replace(POLICY, open_range_ttl_s=0.0))
    for made in (1, 2):
        await bench.ask(closed=False)
        assert (bench.made, bench.pages.kept) == (made, {})


async def test_nobody_waits_until_an_answer_is_kept_and_only_so_many_are_being_kept() -> None:
    bench = Bench()
    pages = StuckPages()
    bench.cache = PageCache(pages, POLICY, bench.clock, bench.tally)
    async with asyncio.timeout(10):
        for number in range(40):
            await bench.ask(str(number))
    await asyncio.sleep(0)
    assert pages.puts == 16


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_KEPT_BYTES, True), (MAX_KEPT_BYTES + 1, False)])
async def test_a_large_answer_is_not_kept(size: int, is_kept: bool) -> None:
    bench = Bench()
    bench.padding = size - len(b'{"n":1}')
    await bench.ask()
    await asyncio.sleep(0)
    assert bool(bench.pages.kept) is is_kept
    assert ((await bench.ask()).age_s is not None) is is_kept


@pytest.mark.parametrize("value", [b"", b"short", bytes(16)])
async def test_a_kept_value_that_is_none_of_ours_is_a_miss(value: bytes) -> None:
    bench = Bench()
    bench.pages.kept["k"] = value, 1e9
    assert (await bench.ask()).body == b'{"n":1}'


async def test_what_costs_little_is_kept_in_memory_alone() -> None:
    bench = Bench()
    await bench.ask(is_costly=False)
    await asyncio.sleep(0)
    assert bench.pages.kept == {}
    assert await bench.ask(is_costly=False) == Answer(b'{"n":1}', 0.0)
    assert bench.tally.results == {"miss": 1, "hit": 1}


async def test_what_the_store_had_is_kept_in_memory_too_for_what_is_left_of_its_time() -> None:
    first = Bench()
    await first.ask()
    await asyncio.sleep(0)
    other = PageCache(first.pages, POLICY, first.clock, first.tally)
    first.cache = other
    first.clock.now_s += 40
    assert await first.ask() == Answer(b'{"n":1}', 40.0)
    first.pages.kept.clear()
    first.clock.now_s += 19
    assert await first.ask() == Answer(b'{"n":1}', 59.0)
    first.clock.now_s += 2
    assert await first.ask() == Answer(b'{"n":2}', None)


async def test_after_the_clock_was_set_back_nothing_of_unknown_age_is_given() -> None:
    bench = Bench()
    await bench.ask(is_costly=False)
    bench.clock.now_s -= 3600
    assert (await bench.ask(is_costly=False)).age_s is None


async def test_memory_is_bounded_and_what_was_of_no_use_for_longest_goes_first() -> None:
    bench = Bench(replace(POLICY, max_memory_bytes=3_000))
    bench.padding = 500
    for key in ("a", "b", "a", "c", "a", "d"):
        await bench.ask(key, is_costly=False)
    assert bench.made == 4
    await bench.ask("a", is_costly=False)
    assert bench.made == 4
    await bench.ask("b", is_costly=False)
    assert bench.made == 5
    # One that is larger than all of it drives out nothing.
    bench.padding = 4_000
    await bench.ask("large", is_costly=False)
    await bench.ask("a", is_costly=False)
    assert bench.made == 6
