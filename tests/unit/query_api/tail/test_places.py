"""How many tails a process may have, and one key of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from query_api.tail.tails import Tails
from tests.fakes.memory_topic import MemoryTopic
from tests.unit.ingest_gateway.virtual_time import run_in_virtual_time
from tests.unit.query_api.tail.tail_bench import tailing, tails_of
from threatlog.access.caller import ANONYMOUS, Caller
from threatlog.process.problems import Problem

ONE, OTHER = (Caller(name, name, frozenset()) for name in ("one", "other"))


async def refused(tails: Tails, caller: Caller) -> tuple[int, str]:
    with pytest.raises(Problem) as raised:
        async with tailing(tails, caller=caller):
            pass
    assert raised.value.headers()["Retry-After"] == "10"
    return raised.value.status, raised.value.code


def test_one_key_may_have_half_of_the_tails_and_leaves_the_rest_to_others() -> None:
    async def run() -> None:
        registry = CollectorRegistry()
        tails = tails_of(MemoryTopic(), registry, most=3)
        async with AsyncExitStack() as open_ones:
            for _ in range(2):
                await open_ones.enter_async_context(tailing(tails, caller=ONE))
            assert await refused(tails, ONE) == (429, "too_many_tails_of_key")
            async with tailing(tails, caller=OTHER):
                assert registry.get_sample_value("threatlog_tails_open") == 3
                assert await refused(tails, OTHER) == (503, "too_many_tails")
        # All places are free again.
        async with tailing(tails, caller=ONE):
            assert registry.get_sample_value("threatlog_tails_open") == 1
        assert registry.get_sample_value("threatlog_tails_open") == 0

    run_in_virtual_time(run())


def test_where_no_keys_are_needed_whoever_comes_may_have_all() -> None:
    async def run() -> None:
        tails = tails_of(MemoryTopic(), most=3)
        async with AsyncExitStack() as open_ones:
            for _ in range(3):
                await open_ones.enter_async_context(tailing(tails, caller=ANONYMOUS))
            assert await refused(tails, ANONYMOUS) == (503, "too_many_tails")

    run_in_virtual_time(run())


@pytest.mark.parametrize("turns", range(8))
def test_who_leaves_at_once_gives_the_place_back(turns: int) -> None:
    """At whatever moment of the beginning it is."""

    async def run() -> None:
        registry = CollectorRegistry()
        tails = tails_of(MemoryTopic(), registry, most=1)
        async with asyncio.timeout(600):
            for _ in range(3):
                async with tailing(tails):
                    for _ in range(turns):
                        await asyncio.sleep(0)
                assert registry.get_sample_value("threatlog_tails_open") == 0

    run_in_virtual_time(run())
