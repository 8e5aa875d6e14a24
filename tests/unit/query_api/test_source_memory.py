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
from query_api.timeline import HOUR, MINUTE, alike_pieces
from tests.unit.query_api.builders import NOON

MIDNIGHT = NOON.replace(hour=0)
FIRST = int(MIDNIGHT.timestamp()) // 60
DAYS = 3
LAST = DAYS * 24 * 60 - 1
# Within a few minutes of each hour, so that what is added is often in what is asked for again.
MINUTES = st.builds(lambda hour, minute: hour * 60 + minute, st.integers(0, DAYS * 24 - 1), st.sampled_from([0, 7, 52]))
SOURCES = st.sampled_from("abc")
Bounds = tuple[int, int]


@dataclass
class Counted:
    """A database that knows of each minute how many events each source has."""

    cells: Counter[tuple[int, str]] = field(default_factory=Counter)
    drops: int = 0
    started_us: int = 0
    number_of_cells: int = 10
    asked: list[list[Bounds]] = field(default_factory=list)

    async def fetch(self, statement: Statement) -> Sequence[Row]:
        arguments = statement.arguments
        if "AS state" in statement.text:
            *counts, start, end, starts, ends, _topic = arguments
            return [*self._counts(*counts[:6]), {"source": None, **self._state(start, end, starts, ends)}]
        if "retention_drops" in statement.text:
            return [self._state(*arguments[:4])]
        return self._counts(*arguments[:6])

    def _counts(self, *arguments: Sequence[Any]) -> list[Row]:
        """Of hours and of minutes: starts, ends and signs."""
        counts: Counter[str] = Counter()
        asked: list[Bounds] = []
        for level in (arguments[:3], arguments[3:]):
            for start, end, sign in zip(*level, strict=True):
                asked.append((minute_of(start), minute_of(end)))
                for source, n in self.by_source(*asked[-1]).items():
                    counts[source] += sign * n
        self.asked.append(asked)
        return [{"source": source, "n": n} for source, n in counts.items()]

    def by_source(self, start: int, end: int) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (minute, source), n in self.cells.items():
            if start <= minute < end:
                counts[source] += n
        return dict(+counts)

    def _by(self, minutes: int, windows: Sequence[Bounds]) -> tuple[list[int] | None, list[int] | None]:
        counts: Counter[int] = Counter()
        for (minute, _), n in self.cells.items():
            if any(start <= minute < end for start, end in windows):
                counts[(FIRST + minute) // minutes] += n
        return sorted(counts) or None, [counts[number] for number in sorted(counts)] or None

    def _state(
        self, start: datetime, end: datetime, starts: Sequence[datetime], ends: Sequence[datetime]
    ) -> dict[str, Any]:
        hours, counts = self._by(60, [(minute_of(start), minute_of(end))])
        fives, five_counts = self._by(5, list(zip(map(minute_of, starts), map(minute_of, ends), strict=True)))
        return {
            "hours": hours,
            "counts": counts,
            "fives": fives,
            "five_counts": five_counts,
            "drops": self.drops,
            "started_us": self.started_us,
            "cells": self.number_of_cells,
        }


def minute_of(moment: datetime) -> int:
    return (moment - MIDNIGHT) // MINUTE


def whole_hours(hours: range, sources: str) -> Counted:
    return Counted(Counter({(hour * 60, source): 1 for hour in hours for source in sources}))


async def ask(memory: SourceMemory, database: Counted, first: int, last: int) -> dict[str, int] | None:
    """The minutes from `first` to before `last`: as little as needed, as a reader does it."""
    wanted = SearchFilter(MIDNIGHT + first * MINUTE, MIDNIGHT + last * MINUTE)
    cut = alike_pieces(wanted.start, wanted.end)
    found = await memory.recalled(database, wanted, cut, "t")
    if found is None:
        found = await memory.by_source(database, wanted, cut, "t")
    if memory.is_to_learn:
        await memory.learn(database)
    return None if found is None else found[0]


OPERATIONS = st.one_of(
    st.tuples(st.just("add"), MINUTES, SOURCES),
    st.tuples(st.just("remove"), MINUTES, SOURCES),
    st.tuples(st.just("exchange"), MINUTES, SOURCES),
    st.tuples(st.just("restore"), MINUTES, SOURCES),
    st.tuples(st.just("ask"), st.integers(0, LAST), st.integers(0, LAST)),
    st.just(("ask", 0, LAST)),
    st.just(("ask", 13, LAST - 30)),
)


@given(st.lists(OPERATIONS, min_size=10, max_size=60), st.sampled_from([2, 5, 1000]))
def test_whatever_happens_in_between_the_answer_is_what_the_database_has(
    operations: list[tuple[Any, ...]], most_counts: int
) -> None:
    database = whole_hours(range(0, 72, 5), "ab")
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
            database.cells = Counter({(minute, other): n for (minute, _), n in database.cells.items()})
            database.started_us += 1
        elif name == "ask":
            first, last = sorted((one, other))
            found = asyncio.run(ask(memory, database, first, last + 1))
            assert found in (None, database.by_source(first, last + 1))
            assert found is not None or last - first < 120


async def test_days_that_stay_the_same_are_asked_for_twice_and_then_no_more() -> None:
    database = whole_hours(range(60), "ab")
    memory = SourceMemory(lambda: 0.0)
    for _ in range(3):
        assert await ask(memory, database, 0, 3600) == {"a": 60, "b": 60}
    days = [(n * 1440, (n + 1) * 1440) for n in range(2)]
    hours = [(n * 60, (n + 1) * 60) for n in range(48, 60)]
    learned = [[stretch] for stretch in (*days, *hours)]
    # All at once, twice; then each for itself; then nothing.
    assert [asked for asked in database.asked if asked] == [[(0, 3600)], [(0, 3600)], *learned]
    assert database.asked[-1] == []

    # A late event: only its day, until that was the same at two looks again.
    database.asked.clear()
    database.cells[30 * 60, "c"] += 1
    for _ in range(3):
        assert await ask(memory, database, 0, 3600) == {"a": 60, "b": 60, "c": 1}
    assert all(days[1][0] <= first < days[1][1] for asked in database.asked for first, _ in asked)
    assert database.asked[-1] == []


async def test_a_day_to_which_events_are_added_all_the_time_is_remembered_by_its_hours() -> None:
    database = whole_hours(range(24), "a")
    memory = SourceMemory(lambda: 0.0)
    for late in range(4):
        database.asked.clear()
        database.cells[7 * 60, "late"] += 1
        assert await ask(memory, database, 0, 1440) == {"a": 24, "late": late + 1}
    assert database.asked[-1] == [(7 * 60, 8 * 60)]


async def test_five_minutes_at_the_edges_are_remembered_too() -> None:
    database = Counted(Counter({(minute, "a"): 1 for minute in range(0, 300, 2)}))
    memory = SourceMemory(lambda: 0.0)
    for last in (266, 268, 267, 266):
        database.asked.clear()
        assert await ask(memory, database, 33, last) == database.by_source(33, last)
    # Before the first whole hour two minutes are left, and behind the last one: it goes to the nearest.
    assert database.asked == [[(33, 35), (265, 266)]]


async def test_remembering_ends_when_its_time_is_over() -> None:
    """The rest is remembered after the next question."""
    database = whole_hours(range(72), "a")
    now_s = iter(range(1000))
    memory = SourceMemory(lambda: next(now_s) * 0.012)
    whole = [(0, 72 * 60)]
    rounds: list[list[list[Bounds]]]
    rounds = [[whole], [whole, [(0, 1440)], [(1440, 2880)]], [[(2880, 4320)], [(2880, 4320)]], [[]]]
    for expected in rounds:
        database.asked.clear()
        assert await ask(memory, database, 0, 72 * 60) == {"a": 72}
        assert database.asked == expected


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
    assert await memory.by_source(Counted(), wanted, alike_pieces(wanted.start, wanted.end), "t") is None


async def test_very_many_sources_are_left_to_postgresql() -> None:
    database, memory = Counted(number_of_cells=200_001), SourceMemory(lambda: 0.0)
    for _ in range(3):
        assert await ask(memory, database, 0, 600) is None
    # Nor is any of their counts asked for.
    assert database.asked == []
    # There may be fewer one day.
    database.number_of_cells = 10
    assert await ask(memory, database, 0, 600) == {}
