"""Upkeep says of a partition's end only what is true, and outlives every trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from stream_app.figures import StreamFigures
from stream_app.outcomes import StoreUnavailableError
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
    indexed: int = 0
    folded: int = 0
    filled: int = 0

    def assigned(self) -> list[int]:
        return list(self.at_end)

    def reached(self) -> dict[int, tuple[int, int]]:
        return self.at_end

    async def move_stored_until(self, reached: dict[int, Any]) -> None:
        if reached and isinstance(next(iter(reached.values())), tuple):
            self.moved.append(reached)
        else:
            self.mirrored.append(reached)

    async def execute(self, _statement: str, *arguments: Any) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.reports.append(arguments)

    async def make_ahead(self) -> None:
        """Nothing to make."""

    async def fold(self) -> None:
        self.folded += 1

    async def make_of_default(self) -> None:
        self.filled += 1

    async def index_closed(self) -> None:
        self.indexed += 1


def upkeep_of(parts: Any, stored: Callable[[], dict[int, int]]) -> Upkeep:
    figures = StreamFigures(CollectorRegistry(), lambda: 0.0, lambda: range(1))
    identity = Identity("stream-test-7", "stream-test", datetime(2026, 11, 24, tzinfo=UTC))
    return Upkeep(identity, Keeping(parts, parts, parts, parts, parts, parts, figures), parts, stored, lambda: 7)


async def test_only_partitions_stored_to_their_end_move() -> None:
    parts = FakeParts({0: (10, 1000), 1: (10, 2000), 2: (0, 3000), 3: (5, 4000)})
    upkeep = upkeep_of(parts, lambda: {0: 10, 1: 9, 2: 0})
    upkeep.start()
    await until(lambda: parts.reports)
    await upkeep.stop()

    assert parts.moved[0] == {0: (10, 1000), 2: (0, 3000)}
    assert parts.mirrored[0] == {0: 1000, 2: 3000}


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
    assert (parts.indexed, parts.folded, parts.filled) == (1, 1, 1)
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
