"""Recent events: from Redis only while that is as good as PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from ingest_gateway.contract import unix_us
from query_api.answers import json_body
from query_api.positions import StoredUntil
from query_api.reading import LoggedEvent, StoreUnavailableError
from query_api.recent_lists import RecentEvents, RecentLists, RecentReader
from tests.fakes.memory_reader import MemoryReader
from tests.unit.query_api.builders import logged_event, moment

NOW = moment(100)


class Lists:
    """A RecentSource as the test says."""

    def __init__(self, members: Sequence[bytes], until: StoredUntil | None = None) -> None:
        self.until = until if until is not None else {0: unix_us(moment(99.5)), 1: unix_us(moment(99))}
        self.members = members
        self.away = False

    async def recent_lists(self, severities: Sequence[int], limit: int) -> RecentLists | None:  # noqa: ARG002
        return None if self.away else RecentLists(self.until, list(self.members[:limit]))


def member(event: LoggedEvent) -> bytes:
    return json_body(event)


def stub(event: LoggedEvent) -> bytes:
    return json_body({"id": event.id, "timestamp": event.timestamp, "large": True})


class Bench:
    """A reader over both; the store holds one event more than the lists."""

    def __init__(self, *members: bytes) -> None:
        self.lists = Lists(members)
        self.store = MemoryReader([logged_event(1), logged_event(2)], {0: unix_us(NOW)})
        self.partitions: set[int] | None = {0, 1}
        self.reader = RecentReader(self.lists, self.store, lambda: self.partitions, lambda: NOW)

    async def ask(self, limit: int = 10) -> RecentEvents:
        return await self.reader.recent((), limit)


async def test_whole_and_fresh_lists_answer_without_the_store() -> None:
    bench = Bench(member(logged_event(2)), member(logged_event(1)))
    bench.store.trouble = StoreUnavailableError("away")
    found = await bench.ask()
    assert found.served_from == "redis"
    assert [bytes(log) for log in found.logs if isinstance(log, msgspec.Raw)] == list(bench.lists.members)
    assert found.stored_until_us == bench.lists.until


async def test_without_redis_the_store_answers() -> None:
    bench = Bench()
    bench.lists.away = True
    found = await bench.ask()
    assert found.served_from == "postgres"
    assert found.logs == [logged_event(2), logged_event(1)]


@pytest.mark.parametrize(
    ("until", "partitions"),
    [
        pytest.param({0: unix_us(moment(97.9)), 1: unix_us(NOW)}, {0, 1}, id="one partition is over two seconds old"),
        pytest.param({0: unix_us(NOW)}, {0, 1}, id="one partition is missing"),
        pytest.param({}, {0, 1}, id="none is there"),
        pytest.param({0: unix_us(NOW)}, None, id="the partitions are not known"),
    ],
)
async def test_lists_that_may_lack_events_are_not_used(until: StoredUntil, partitions: set[int] | None) -> None:
    bench = Bench(member(logged_event(1)))
    bench.lists.until, bench.partitions = until, partitions
    assert (await bench.ask()).served_from == "postgres"


async def test_a_large_event_is_fetched_from_the_store_into_its_place() -> None:
    bench = Bench(member(logged_event(3)), stub(logged_event(2)), member(logged_event(1)))
    found = await bench.ask()
    assert found.served_from == "redis"
    assert found.logs[1] == logged_event(2)


async def test_a_large_event_that_is_not_stored_any_more_makes_the_store_answer() -> None:
    bench = Bench(stub(logged_event(7)))
    assert (await bench.ask()).served_from == "postgres"


async def test_a_member_that_cannot_be_read_makes_the_store_answer() -> None:
    bench = Bench(b'{"id":1,"large":true}')
    assert (await bench.ask()).served_from == "postgres"


async def test_an_event_whose_attributes_look_like_a_stub_is_none() -> None:
    event = msgspec.structs.replace(logged_event(1), attributes=msgspec.Raw(b'{"large":true}'))
    bench = Bench(member(event))
    assert (await bench.ask()).logs == [msgspec.Raw(member(event))]


async def test_events_far_ahead_of_now_are_left_out_by_the_store_as_by_the_lists() -> None:
    bench = Bench()
    bench.lists.away = True
    bench.store.stored = [logged_event(1), logged_event(timestamp=moment(701)), logged_event(timestamp=moment(699))]
    assert [log.timestamp for log in (await bench.ask()).logs if isinstance(log, LoggedEvent)] == [
        moment(699),
        moment(1),
    ]


async def test_large_events_make_the_answer_shorter_wherever_they_come_from() -> None:
    large = [logged_event(n, message="m" * 1024 * 1024) for n in range(20)]
    bench = Bench(*(stub(event) for event in reversed(large)))
    bench.store.stored = list(large)
    found = await bench.ask(limit=18)
    assert (found.served_from, found.logs) == ("redis", large[:-17:-1])
    bench.lists.away = True
    assert (await bench.ask(limit=18)).logs == large[:-17:-1]
