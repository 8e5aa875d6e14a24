"""What every page store promises, held on the one in memory and on Redis."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from query_api.circuit import Circuit
from query_api.page_cache import PageStore
from query_api.redis_reader import RedisReader, connect
from stream_app.contract import RedisKeys
from tests.fakes.memory_pages import MemoryPages
from tests.processes import eventually

pytestmark = pytest.mark.no_database


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[PageStore]:
    if request.param == "memory":
        yield MemoryPages(time.monotonic)
        return
    settings = request.getfixturevalue("stack").settings.redis
    # A busy machine may be late; how late is not what is tested here.
    reader = RedisReader(connect(settings), RedisKeys(settings.key_prefix), 5.0, Circuit(time.monotonic))
    yield reader
    await reader.close(1.0)


async def test_what_was_never_kept_is_not_there(store: PageStore) -> None:
    assert await store.get("k") is None


async def test_bytes_come_back_as_they_were(store: PageStore) -> None:
    value = bytes(range(256)) * 500
    await store.put("k", value, 60.0)
    assert await store.get("k") == value
    assert await store.get("other") is None


async def test_the_last_value_counts(store: PageStore) -> None:
    await store.put("k", b"1", 60.0)
    await store.put("k", b"2", 60.0)
    assert await store.get("k") == b"2"


async def test_a_value_is_gone_after_its_time(store: PageStore) -> None:
    await store.put("k", b"1", 0.05)

    async def gone() -> bool:
        return await store.get("k") is None

    await eventually(gone, "the value is gone")
