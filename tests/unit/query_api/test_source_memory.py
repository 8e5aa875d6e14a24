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
from query_api.timeline import HOUR, MINUTE
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
        about = {"drops": self.drops, "started_us": self.started_us, "cells": self.number_of_cells}
        if not statement.arguments:
            return [about]
        if "places" in statement.text:
            starts, ends, *proven = statement.arguments
            return [{**about, **self._of_each(starts, ends), **self._proof(*proven)}]
        *counts, starts, ends, minute_starts, minute_ends, _topic = statement.arguments
        by_source = self._counts(*counts[:6])
        arrays = {
            "sources": list(by_source) or None,
            "counts": list(by_source.values()) or None,
        }
        return [{**about, **arrays, **self._proof(starts, ends, minute_starts, minute_ends)}]

    def _of_each(self, starts: Sequence[datetime], ends: Sequence[datetime]) -> dict[str, Any]:
        self.asked.append([(minute_of(start), minute_of(end)) for start, end in zip(starts, ends, strict=True)])
        found = [
            (place, *counted)
            for place, bounds in enumerate(self.asked[-1], 1)
            for counted in self.by_source(*bounds).items()
        ]
        places, sources, counts = zip(*found, strict=True) if found else (None, None, None)
        return {"places": places, "sources": sources, "counts": counts}

    def _proof(self, *bounds: Sequence[datetime]) -> dict[str, Any]:
        return {"hours": self._events(*bounds[:2]), "minutes": self._events(*bounds[2:])}

    def _counts(self, *arguments: Sequence[Any]) -> dict[str, int]:
        """Of hours and of minutes: starts, ends and signs."""
        counts: Counter[str] = Counter()
        asked: list[Bounds] = []
        for level in (arguments[:3], arguments[3:]):
            for start, end, sign in zip(*level, strict=True):
                asked.append((minute_of(start), minute_of(end)))
                for source, n in self.by_source(*asked[-1]).items():
                    counts[source] += sign * n
        self.asked.append(asked)
        return counts

    def _events(self, starts: Sequence[datetime], ends: Sequence[datetime]) -> list[int] | None:
        bounds = zip(map(minute_of, starts), map(minute_of, ends), strict=True)
        return [sum(self.by_source(*one).values()) for one in bounds] or None

    def by_source(self, start: int, end: int) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (minute, source), n in self.cells.items():
            if start <= minute < end:
                counts[source] += n
        return dict(+counts)


def minute_of(moment: datetime) -> int:
    return (moment - MIDNIGHT) // MINUTE


def whole_hours(hours: range, sources: str) -> Counted:
    return Counted(Counter({(hour * 60, source): 1 for hour in hours for source in sources}))


class Time:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


async def ask(
    memory: SourceMemory, database: Counted, first: int, last: int, latest: int = LAST + 60
) -> dict[str, int] | None:
    """The minutes from `first` to before `last`, as a reader asks; then all is learned that can be."""
    wanted = SearchFilter(MIDNIGHT + first * MINUTE, MIDNIGHT + last * MINUTE)
    found = await memory.by_source(database, wanted, "t", MIDNIGHT + latest * MINUTE)
    while memory.is_to_learn:
        await memory.learn(database)
    return None if found is None else dict(found[0].largest(100))


OPERATIONS = st.one_of(
    st.tuples(st.just("add"), MINUTES, SOURCES),
    st.tuples(st.just("remove"), MINUTES, SOURCES),
    st.tuples(st.just("exchange"), MINUTES, SOURCES),
    st.tuples(st.just("restore"), MINUTES, SOURCES),
    st.tuples(st.just("wait"), st.sampled_from([2, 6, 60]), st.just(0)),
    st.tuples(st.just("ask"), st.integers(0, LAST), st.integers(0, LAST)),
    st.just(("ask", 0, LAST)),
    st.just(("ask", 13, LAST - 30)),
)


@given(st.lists(OPERATIONS, min_size=10, max_size=60), st.sampled_from([2, 6, 20, 1000]))
def test_whatever_happens_in_between_the_answer_is_what_the_database_has(
    operations: list[tuple[Any, ...]], most_counts: int
) -> None:
    database = whole_hours(range(0, 72, 5), "ab")
    time = Time()
    memory = SourceMemory(time, most_counts)
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
        elif name == "wait":
            time.s += one
        elif name == "ask":
            first, last = sorted((one, other))
            found = asyncio.run(ask(memory, database, first, last + 1))
            if found is None:
                assert last - first < 120
            else:
                assert found == database.by_source(first, last + 1)


async def test_what_does_not_change_is_asked_for_once_and_then_no_more() -> None:
    database, time = whole_hours(range(60), "ab"), Time()
    memory = SourceMemory(time)
    for _ in range(2):
        assert await ask(memory, database, 0, 3600) == {"a": 60, "b": 60}
    days = [(n * 1440, (n + 1) * 1440) for n in range(2)]
    hours = [(n * 60, (n + 1) * 60) for n in range(48, 60)]
    # All at once; then each for itself, the longest first; then nothing.
    assert database.asked == [[(0, 3600)], *[[stretch] for stretch in (*days, *hours)], []]


async def test_a_late_event_costs_only_its_day_until_that_is_the_same_for_a_while() -> None:
    database, time = whole_hours(range(60), "ab"), Time()
    memory = SourceMemory(time)
    await ask(memory, database, 0, 3600)
    database.cells[30 * 60, "c"] += 1
    database.asked.clear()
    hours = [[(n * 60, (n + 1) * 60)] for n in range(24, 48)]
    assert await ask(memory, database, 0, 3600) == {"a": 60, "b": 60, "c": 1}
    # All together, then each by itself; then without the day, whose hours are learned.
    assert database.asked == [[], [], [(1440, 2880)], *hours]
    database.asked.clear()
    assert await ask(memory, database, 0, 3600) == {"a": 60, "b": 60, "c": 1}
    time.s += 5.0
    for _ in range(2):
        assert await ask(memory, database, 0, 3600) == {"a": 60, "b": 60, "c": 1}
    assert database.asked == [[], [], [(1440, 2880)], []]


async def test_a_day_to_which_events_are_added_all_the_time_is_remembered_by_its_hours() -> None:
    database, time = whole_hours(range(24), "a"), Time()
    memory = SourceMemory(time)
    for late in range(4):
        database.asked.clear()
        database.cells[7 * 60, "late"] += 1
        time.s += 2.0
        assert await ask(memory, database, 0, 1440) == {"a": 24, "late": late + 1}
    assert database.asked == [[(7 * 60, 8 * 60)]]


async def test_what_is_filling_is_not_remembered_though_nothing_came_between_two_questions() -> None:
    """The day and the hour that hold `latest`, and the five minutes, of which a range takes off what came after it."""
    database = Counted(Counter({(minute, "a"): 1 for minute in range(33 * 60 + 8)}))
    memory = SourceMemory(Time())
    for last in (33 * 60 + 5, 33 * 60 + 8):
        for _ in range(3):
            database.asked.clear()
            assert await ask(memory, database, 0, last, latest=33 * 60 + 8) == {"a": last}
        asked = {minute for start, end in database.asked[-1] for minute in range(start, end)}
        assert asked == set(range(33 * 60, 34 * 60))


async def test_all_minutes_of_an_hour_are_learned_when_an_edge_is_in_it() -> None:
    database = Counted(Counter({(minute, "a"): 1 for minute in range(0, 600, 2)}))
    memory = SourceMemory(Time())
    assert await ask(memory, database, 63, 326) == database.by_source(63, 326)
    # Fives, then single ones, of both hours.
    learned = [stretch for asked in database.asked[1:] for stretch in asked]
    hours = 60, 300
    fives = [(first, first + 5) for hour in hours for first in range(hour, hour + 60, 5)]
    single = [(minute, minute + 1) for hour in hours for minute in range(hour, hour + 60)]
    assert [one for one in learned if one[1] - one[0] < 60] == [*fives, *single]
    database.asked.clear()
    for first, last in ((61, 329), (89, 311), (90, 330)):
        assert await ask(memory, database, first, last) == database.by_source(first, last)
    assert [asked for asked in database.asked if asked] == []


async def test_where_sources_are_many_only_fives_of_minutes_are_learned() -> None:
    database = Counted(Counter({(minute, "a"): 1 for minute in range(0, 600, 2)}), number_of_cells=10_001)
    memory = SourceMemory(Time())
    for _ in range(2):
        database.asked.clear()
        assert await ask(memory, database, 63, 326) == database.by_source(63, 326)
    assert database.asked == [[(325, 326), (60, 63)]]


async def test_learning_ends_when_its_time_is_over_and_goes_on_later() -> None:
    database = whole_hours(range(72), "a")
    ticks = iter(range(1000))
    memory = SourceMemory(lambda: next(ticks) * 0.012)
    wanted = SearchFilter(MIDNIGHT, MIDNIGHT + 72 * HOUR)
    await memory.by_source(database, wanted, "t", wanted.end + HOUR)
    learned = []
    while memory.is_to_learn:
        database.asked.clear()
        await memory.learn(database)
        learned.append(len(database.asked))
    assert learned == [1, 1, 1]


async def test_a_range_that_is_too_large_does_not_drive_out_what_was_of_use_just_now() -> None:
    database, time = whole_hours(range(120), "ab"), Time()
    memory = SourceMemory(time, most_counts=8)
    end = 120 * 60
    for _ in range(3):
        database.asked.clear()
        assert await ask(memory, database, 0, end, end + 60) == {"a": 120, "b": 120}
    # Four days are remembered; the fifth is counted, and not learned again and again.
    last = (4 * 1440, end)
    assert database.asked == [[last]]
    time.s += 60.0
    await ask(memory, database, *last, end + 60)
    database.asked.clear()
    assert await ask(memory, database, *last, end + 60) == {"a": 24, "b": 24}
    assert database.asked == [[]]


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
    assert await SourceMemory(Time()).by_source(Counted(), wanted, "t", NOON + MOST_HOURS * HOUR) is None


async def test_very_many_sources_are_left_to_postgresql() -> None:
    database, memory = Counted(number_of_cells=200_001), SourceMemory(Time())
    for _ in range(3):
        assert await ask(memory, database, 0, 600) is None
    # Nor is any of their counts asked for.
    assert database.asked == []
    # There may be fewer one day.
    database.number_of_cells = 10
    assert await ask(memory, database, 0, 600) == {}
