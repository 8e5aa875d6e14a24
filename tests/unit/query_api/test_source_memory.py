"""What is remembered of sources is used only while it is still so, and no more is kept than may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_api.filter_language.parse import parse
from query_api.search import SearchFilter
from query_api.snapshot import Row
from query_api.source_memory import MOST_HOURS, SourceMemory
from query_api.statement import Statement
from query_api.timeline import HOUR, pieces
from tests.unit.query_api.builders import NOON

MIDNIGHT = NOON.replace(hour=0)
DAYS = 3
HOURS = st.integers(0, DAYS * 24 - 1)
SOURCES = st.sampled_from("abc")


@dataclass
class Counted:
    """A database that knows of whole hours how many events each source has."""

    cells: Counter[tuple[int, str]] = field(default_factory=Counter)
    drops: int = 0
    started_us: int = 0
    number_of_cells: int = 10
    asked: list[Sequence[tuple[datetime, datetime]]] = field(default_factory=list)

    async def fetch(self, statement: Statement) -> Sequence[Row]:
        if "retention_drops" in statement.text:
            return [self._hours_now(*statement.arguments[:2])]
        bounds = list(zip(statement.arguments[::2], statement.arguments[1::2], strict=True))
        self.asked.append(bounds)
        counts: Counter[str] = Counter()
        for start, end in bounds:
            counts.update(self.by_source(start, end))
        return [{"source": source, "n": n} for source, n in counts.items()]

    def by_source(self, start: datetime, end: datetime) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (hour, source), n in self.cells.items():
            if start <= MIDNIGHT + hour * HOUR < end:
                counts[source] += n
        return dict(+counts)

    def _hours_now(self, start: datetime, end: datetime) -> dict[str, Any]:
        hours: Counter[int] = Counter()
        for (hour, _), n in self.cells.items():
            if start <= MIDNIGHT + hour * HOUR < end:
                hours[int((MIDNIGHT + hour * HOUR).timestamp()) // 3600] += n
        return {
            "hours": sorted(hours) or None,
            "counts": [hours[hour] for hour in sorted(hours)] or None,
            "drops": self.drops,
            "started_us": self.started_us,
            "cells": self.number_of_cells,
        }


async def ask(memory: SourceMemory, database: Counted, first: int, last: int) -> dict[str, int] | None:
    """The hours from `first` to before `last`."""
    wanted = SearchFilter(MIDNIGHT + first * HOUR, MIDNIGHT + last * HOUR)
    found = await memory.by_source(database, wanted, pieces(wanted.start, wanted.end), "t")
    return None if found is None else found[0]


OPERATIONS = st.one_of(
    st.tuples(st.just("add"), HOURS, SOURCES),
    st.tuples(st.just("remove"), HOURS, SOURCES),
    st.tuples(st.just("exchange"), HOURS, SOURCES),
    st.tuples(st.just("restore"), HOURS, SOURCES),
    st.tuples(st.just("ask"), HOURS, HOURS),
    st.just(("ask", 0, DAYS * 24 - 1)),
)


@given(st.lists(OPERATIONS, min_size=10, max_size=60), st.sampled_from([2, 5, 1000]))
def test_whatever_happens_in_between_the_answer_is_what_the_database_has(
    operations: list[tuple[Any, ...]], most_counts: int
) -> None:
    database = Counted(Counter({(hour, source): 1 for hour in range(0, 72, 5) for source in "ab"}))
    memory = SourceMemory(lambda: 0.0, most_counts)
    for name, one, other in operations:
        if name == "add":
            database.cells[one, other] += 1
        elif name == "remove" and database.cells[one, other]:
            database.cells[one, other] -= 1
            database.drops += 1
        elif name == "exchange":
            # Retention takes some away, and then as many of another source come late.
            gone = sum(database.cells.pop((one, source), 0) for source in "abc")
            database.cells[one, other] += gone
            database.drops += 1
        elif name == "restore":
            # From a backup, then something else was stored: as many as before.
            database.cells = Counter({(hour, other): n for (hour, _), n in database.cells.items()})
            database.started_us += 1
        elif name == "ask":
            first, last = sorted((one, other))
            found = asyncio.run(ask(memory, database, first, last + 1))
            assert found == database.by_source(MIDNIGHT + first * HOUR, MIDNIGHT + (last + 1) * HOUR)


async def test_days_that_stay_the_same_are_asked_for_twice_and_then_no_more() -> None:
    database = Counted(Counter({(hour, source): 1 for hour in range(60) for source in "ab"}))
    memory = SourceMemory(lambda: 0.0)
    for _ in range(3):
        assert await ask(memory, database, 0, 60) == {"a": 60, "b": 60}
    days = [(MIDNIGHT + n * 24 * HOUR, MIDNIGHT + (n + 1) * 24 * HOUR) for n in range(2)]
    hours = [(MIDNIGHT + n * HOUR, MIDNIGHT + (n + 1) * HOUR) for n in range(48, 60)]
    assert database.asked == [[(MIDNIGHT, MIDNIGHT + 60 * HOUR)], *([stretch] for stretch in (*days, *hours))]

    # A late event: that day's hours, and of those only the one that it is in.
    database.asked.clear()
    database.cells[30, "c"] += 1
    for _ in range(3):
        assert await ask(memory, database, 0, 60) == {"a": 60, "b": 60, "c": 1}
    assert [(MIDNIGHT + 30 * HOUR, MIDNIGHT + 31 * HOUR)] in database.asked
    assert days[0] not in [bounds for asked in database.asked for bounds in asked]


async def test_remembering_ends_when_its_time_is_over() -> None:
    """The rest is asked for at once, and remembered by those who ask later."""
    database = Counted(Counter({(hour, "a"): 1 for hour in range(72)}))
    now_s = iter(range(1000))
    memory = SourceMemory(lambda: next(now_s) * 0.008)
    await ask(memory, database, 0, 72)
    database.asked.clear()
    assert await ask(memory, database, 0, 72) == {"a": 72}
    assert [len(asked) for asked in database.asked] == [1, 1, 1]
    assert database.asked[-1] == [(MIDNIGHT + 48 * HOUR, MIDNIGHT + 72 * HOUR)]


@pytest.mark.parametrize(
    "wanted",
    [
        SearchFilter(NOON, NOON + timedelta(minutes=20)),
        SearchFilter(NOON, NOON + (MOST_HOURS + 1) * HOUR),
        SearchFilter(NOON, NOON + HOUR, source="a"),
        SearchFilter(NOON, NOON + HOUR, expression=parse("-source:a")),
    ],
    ids=["no whole hour", "too long", "one source", "a filter"],
)
async def test_what_it_cannot_know_postgresql_says(wanted: SearchFilter) -> None:
    memory = SourceMemory(lambda: 0.0)
    assert await memory.by_source(Counted(), wanted, pieces(wanted.start, wanted.end), "t") is None


async def test_very_many_sources_are_left_to_postgresql() -> None:
    assert await ask(SourceMemory(lambda: 0.0), Counted(number_of_cells=200_001), 0, 10) is None
