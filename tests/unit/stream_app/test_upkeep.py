"""Upkeep says of a partition's end only what is true, and outlives every trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from stream_app.figures import StreamFigures
from stream_app.outcomes import LogUnavailableError, StoreUnavailableError
from stream_app.upkeep import Identity, Keeping, Upkeep
from tests.unit.stream_app.pipeline_bench import until


@dataclass
class FakeParts:
    """The store, the mirror, the days and the positions in one: notes what is asked, and raises the troubles given."""

    at_end: dict[int, tuple[int, int]] = field(default_factory=dict)
    moved: list[dict[int, tuple[int, int]]] = field(default_factory=list)
    mirrored: list[dict[int, int]] = field(default_factory=list)
    reports: list[tuple[Any, ...]] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    unaligned: list[Exception] = field(default_factory=list)
    owned: int = 0
    watched: int = 0
    folded: int = 0
    looked: int = 0
    # What the store says it holds; else that it holds what it is asked for.
    holds: dict[int, int] | None = None
    checked: list[tuple[dict[int, int], dict[int, int]]] = field(default_factory=list)
    asked: list[list[int]] = field(default_factory=list)
    passed_over: list[dict[int, int]] = field(default_factory=list)
    filled: int = 0

    def assigned(self) -> list[int]:
        return list(self.at_end)

    def reached(self) -> dict[int, tuple[int, int]]:
        return self.at_end

    async def move_stored_until(self, reached: dict[int, Any]) -> dict[int, int]:
        if isinstance(next(iter(reached.values())), tuple):
            self.moved.append(reached)
            return {partition: end for partition, (end, _) in reached.items()} if self.holds is None else self.holds
        self.mirrored.append(reached)
        return {}

    async def find_positions(self, assigned: list[int]) -> None:
        self.asked.append(assigned)
        if self.unaligned:
            raise self.unaligned.pop(0)

    async def pass_over(self, ends: dict[int, int]) -> None:
        self.passed_over.append(ends)

    async def check_positions(self, before: dict[int, int], found: dict[int, int]) -> None:
        self.checked.append((before, found))

    async def execute(self, _statement: str, *arguments: Any) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.reports.append(arguments)

    async def retry_stopped(self) -> None:
        """None is."""

    async def make_ahead(self) -> None:
        """Nothing to make."""

    async def tell(self) -> None:
        self.looked += 1

    async def fold(self) -> None:
        self.folded += 1

    async def make_of_default(self) -> None:
        self.filled += 1

    async def do(self) -> bool:
        self.owned += 1
        return True

    async def look(self) -> None:
        self.watched += 1


def upkeep_of(parts: Any, stored: Callable[[], dict[int, int]]) -> Upkeep:
    figures = StreamFigures(CollectorRegistry(), lambda: 0.0, lambda: range(1))
    identity = Identity("stream-test-7", "stream-test", datetime(2026, 11, 24, tzinfo=UTC))
    keeping = Keeping(parts, parts, parts, parts, parts, parts, parts, parts, parts, figures)
    return Upkeep(identity, keeping, parts, parts, stored, lambda: 7)


async def test_only_partitions_stored_to_their_end_move() -> None:
    parts = FakeParts({0: (10, 1000), 1: (10, 2000), 2: (0, 3000), 3: (5, 4000)})
    upkeep = upkeep_of(parts, lambda: {0: 10, 1: 9, 2: 0})
    upkeep.start()
    await until(lambda: parts.reports)
    await upkeep.stop()

    assert parts.moved[0] == {0: (10, 1000), 2: (0, 3000)}
    assert parts.mirrored[0] == {0: 1000, 2: 3000}


async def test_redis_is_told_no_more_than_postgresql_confirms() -> None:
    parts = FakeParts({0: (10, 1000), 1: (4, 2000), 2: (5, 3000)}, holds={0: 10, 1: 3})
    upkeep = upkeep_of(parts, lambda: {0: 10, 1: 4, 2: 5})
    upkeep.start()
    await until(lambda: parts.reports)
    await upkeep.stop()

    assert parts.mirrored[0] == {0: 1000}
    assert parts.checked[0] == ({0: 10, 1: 4, 2: 5}, {0: 10, 1: 3})


async def test_each_round_asks_for_positions_that_are_missing_and_for_what_was_read_past() -> None:
    parts = FakeParts({0: (10, 1000)})
    upkeep = upkeep_of(parts, dict)
    upkeep.start()
    await until(lambda: parts.reports)
    await upkeep.stop()

    assert (parts.asked[0], parts.passed_over[0]) == ([0], {0: 10})


async def test_with_no_partition_at_its_end_nothing_moves_and_figures_are_still_reported() -> None:
    parts = FakeParts({0: (10, 1000)})
    upkeep = upkeep_of(parts, lambda: {0: 3})
    upkeep.start()
    await until(lambda: parts.reports)
    await upkeep.stop()

    assert (parts.moved, parts.mirrored) == ([], [])
    assert parts.reports[0][:3] == ("stream-test-7", "stream", "stream-test")


async def test_the_store_answers_once_a_report_was_written() -> None:
    parts = FakeParts()
    upkeep = upkeep_of(parts, dict)
    assert not upkeep.store_answers
    upkeep.start()
    await until(lambda: upkeep.store_answers)
    await until(lambda: upkeep.ticks >= 2)
    await upkeep.stop()


async def test_trouble_of_any_kind_is_tried_again() -> None:
    parts = FakeParts(troubles=[StoreUnavailableError("away"), RuntimeError("bug")])
    upkeep = upkeep_of(parts, dict)
    upkeep.start()
    await until(lambda: parts.reports)
    assert (parts.owned, parts.watched, parts.folded, parts.filled) == (1, 1, 1, 1)
    await upkeep.stop()


async def test_a_store_that_goes_away_is_noticed() -> None:
    parts = FakeParts()
    upkeep = upkeep_of(parts, dict)
    upkeep.start()
    await until(lambda: upkeep.store_answers)
    parts.troubles = [StoreUnavailableError("away")] * 100
    await until(lambda: not upkeep.store_answers)
    async with asyncio.timeout(5):
        await upkeep.stop()


async def test_positions_that_postgresql_cannot_give_now_show_that_it_is_away() -> None:
    parts = FakeParts()
    upkeep = upkeep_of(parts, dict)
    upkeep.store_answers = True
    parts.unaligned = [StoreUnavailableError("away")] * 100
    upkeep.start()
    await until(lambda: not upkeep.store_answers)
    await upkeep.stop()


async def test_kafka_away_says_nothing_of_postgresql() -> None:
    parts = FakeParts(unaligned=[LogUnavailableError("away")])
    upkeep = upkeep_of(parts, dict)
    upkeep.store_answers = True
    upkeep.start()
    await until(lambda: len(parts.asked) == 1)
    assert upkeep.store_answers
    await until(lambda: parts.reports)
    await upkeep.stop()
