"""One computation for all who ask, which learns when the last of them has gone."""

from __future__ import annotations

import asyncio

import pytest

from query_api.abandoned import is_abandoned
from query_api.single_flight import SingleFlight


class Slow:
    """A computation that ends when it is told to, and then says whether anybody still waits."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.ended = asyncio.Event()
        self.was_abandoned = False

    async def run(self) -> str:
        await self.may_end.wait()
        self.was_abandoned = is_abandoned()
        self.ended.set()
        return "done"


async def test_who_joins_gets_the_same_outcome_also_when_the_first_has_gone() -> None:
    flights: SingleFlight[str, str] = SingleFlight(lambda: 0.0)
    slow = Slow()
    first = asyncio.ensure_future(flights.begin("a", slow.run()))
    joined = flights.join("a", 1.0)
    assert joined is not None
    second = asyncio.ensure_future(joined)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    slow.may_end.set()
    assert await second == "done"
    assert not slow.was_abandoned
    assert not is_abandoned()


async def test_when_the_last_has_gone_it_is_told_so_and_nobody_else_gets_its_outcome() -> None:
    flights: SingleFlight[str, str] = SingleFlight(lambda: 0.0)
    slow = Slow()
    only = asyncio.ensure_future(flights.begin("a", slow.run()))
    await asyncio.sleep(0)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    assert flights.join("a", 1.0) is None

    again = asyncio.ensure_future(flights.begin("a", Slow().run()))
    slow.may_end.set()
    async with asyncio.timeout(5):
        await slow.ended.wait()
    assert slow.was_abandoned
    # The end of the first does not take the second from those who join it.
    joined = flights.join("a", 1.0)
    assert joined is not None
    for waiting in (again, asyncio.ensure_future(joined)):
        waiting.cancel()


async def test_a_failure_is_of_all_who_wait() -> None:
    flights: SingleFlight[str, str] = SingleFlight(lambda: 0.0)

    async def failing() -> str:
        await asyncio.sleep(0)
        raise ValueError("no")

    first = flights.begin("a", failing())
    joined = flights.join("a", 1.0)
    assert joined is not None
    found = await asyncio.gather(first, joined, return_exceptions=True)
    assert [str(error) for error in found] == ["no", "no"]
    assert flights.join("a", 1.0) is None
