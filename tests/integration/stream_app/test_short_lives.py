"""What PostgreSQL keeps of how workers began and ended, and what the next one makes of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from stream_app import statements as sql
from stream_app.chunks import MAX_BUFFERED_BYTES, MAX_WINDOW_BYTES, BufferedEvents
from stream_app.figures import StreamFigures
from stream_app.postgres_store import PostgresStore
from stream_app.short_lives import ShortLives
from tests.fakes.kafka_records import NOON_MS, TOPIC
from tests.integration.stream_app.conftest import Observer
from tests.servers import Stack

pytestmark = pytest.mark.integration
AN_EIGHTH, A_SIXTY_FOURTH = MAX_WINDOW_BYTES // 8, MAX_WINDOW_BYTES // 64


class Worker:
    """What a worker does of it. Dead is whoever does nothing more."""

    def __init__(self, store: PostgresStore, process: str) -> None:
        self._store = store
        self._process = process
        self.registry = CollectorRegistry()
        figures = StreamFigures(self.registry, time.time, lambda: range(0))
        self.buffered = BufferedEvents()
        self.lives = ShortLives(store, TOPIC, process, self.buffered, figures)

    async def begin(self, *partitions: int) -> int:
        """Returns the bytes that a window may have then."""
        await self.lives.begin(partitions)
        assert self.registry.get_sample_value("threatlog_worker_max_window_bytes") == self.buffered.max_window_bytes
        return self.buffered.max_window_bytes

    async def report(self) -> None:
        """Says that it lives."""
        await self._store.execute(
            sql.REPORT_PROCESS, self._process, "stream", "worker", datetime.fromtimestamp(NOON_MS / 1000, UTC), "{}"
        )


@pytest.fixture
async def worker(stack: Stack) -> AsyncIterator[Callable[[str], Worker]]:
    """Makes workers, on one connection, in the role that stores."""
    store = PostgresStore(stack.settings.postgres, TOPIC, "worker")
    yield lambda process: Worker(store, process)
    await store.close()


async def test_each_early_death_at_a_partition_lets_the_next_worker_read_less_at_once(
    worker: Callable[[str], Worker],
) -> None:
    assert await worker("a").begin(0, 1) == MAX_WINDOW_BYTES
    assert await worker("b").begin(0) == AN_EIGHTH
    third = worker("c")
    assert await third.begin(0, 1, 2) == A_SIXTY_FOURTH
    assert third.buffered.max_bytes == MAX_BUFFERED_BYTES // 64
    assert await worker("d").begin(0) == A_SIXTY_FOURTH
    assert await worker("e").begin(7) == MAX_WINDOW_BYTES


async def test_another_assignment_of_the_same_worker_is_no_death(worker: Callable[[str], Worker]) -> None:
    first = worker("a")
    await first.begin(0)
    assert await first.begin(0) == MAX_WINDOW_BYTES
    second = worker("b")
    assert [await second.begin(0), await second.begin(0), await second.begin(1)] == [
        AN_EIGHTH,
        AN_EIGHTH,
        MAX_WINDOW_BYTES,
    ]


async def test_a_partition_that_comes_from_a_living_worker_brings_no_death_and_keeps_those_before(
    worker: Callable[[str], Worker],
) -> None:
    await worker("a").begin(0)
    living = worker("b")
    await living.begin(0)
    await living.report()

    assert await worker("c").begin(0) == AN_EIGHTH


async def test_a_worker_that_was_heard_of_until_it_died_is_dead_all_the_same(
    worker: Callable[[str], Worker], observer: Observer
) -> None:
    first = worker("a")
    await first.begin(0)
    await first.report()
    await observer.execute("UPDATE process_metrics SET updated_at = updated_at - interval '6 seconds'")

    assert await worker("b").begin(0) == AN_EIGHTH


async def test_whoever_ends_well_did_not_die(worker: Callable[[str], Worker]) -> None:
    first, other = worker("a"), worker("x")
    await first.begin(0, 1)
    await other.begin(2)
    await first.lives.end()

    assert await worker("b").begin(0, 1) == MAX_WINDOW_BYTES
    assert await worker("b").begin(2) == AN_EIGHTH


async def test_a_death_after_a_long_life_and_deaths_before_one_do_not_count(
    worker: Callable[[str], Worker], observer: Observer
) -> None:
    await worker("a").begin(0)
    await worker("b").begin(0)
    await observer.execute("UPDATE partition_starts SET began_at = began_at - interval '6 minutes'")

    assert await worker("c").begin(0) == MAX_WINDOW_BYTES
    assert await worker("d").begin(0) == AN_EIGHTH


async def test_a_long_life_stays_long_through_rebalances(worker: Callable[[str], Worker], observer: Observer) -> None:
    first = worker("a")
    await first.begin(0)
    await observer.execute("UPDATE partition_starts SET began_at = began_at - interval '6 minutes'")
    await first.begin(0)

    assert await worker("b").begin(0) == MAX_WINDOW_BYTES


async def test_after_a_long_life_the_next_assignment_is_as_if_nobody_had_died(
    worker: Callable[[str], Worker], observer: Observer
) -> None:
    await worker("a").begin(0)
    second = worker("b")
    await second.begin(0)
    await observer.execute("UPDATE partition_starts SET began_at = began_at - interval '6 minutes'")

    assert await second.begin(0) == MAX_WINDOW_BYTES
