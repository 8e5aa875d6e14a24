"""Which days have a partition: arithmetic of days, and what is asked of PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.partitions import DayPartitions, day_of, name_of

TODAY = (datetime(2026, 11, 24, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days


class FakeSessions:
    """Sessions whose `fetch` knows some tables; it counts how often it was opened."""

    def __init__(self, *tables: str) -> None:
        self.tables = list(tables)
        self.opened = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        self.opened += 1
        yield self

    async def fetch(self, _statement: str) -> list[dict[str, str]]:
        return [{"relname": table} for table in self.tables]


def partitions(sessions: FakeSessions, hour: int = 10) -> DayPartitions:
    return DayPartitions(sessions, 30, 2, lambda: datetime(2026, 11, 24, hour, tzinfo=UTC))


@given(st.integers(-30_000, 2_900_000))
def test_a_name_says_its_day(day: int) -> None:
    assert day_of(name_of(day)) == day


def test_a_name_is_the_date() -> None:
    assert name_of(TODAY) == "logs_20261124"


def test_days_within_the_bounds_may_have_a_partition() -> None:
    assert partitions(FakeSessions()).allowed() == range(TODAY - 30, TODAY + 3)
    assert partitions(FakeSessions(), 23).allowed() == range(TODAY - 30, TODAY + 3)


async def test_days_out_of_bounds_ask_nothing_of_postgresql() -> None:
    sessions = FakeSessions()
    await partitions(sessions).ensure({TODAY - 31, TODAY + 3, -1})

    assert sessions.opened == 0


async def test_days_that_are_known_ask_nothing_of_postgresql_again() -> None:
    sessions = FakeSessions(*(name_of(TODAY + n) for n in range(3)))
    days = partitions(sessions)
    for _ in range(3):
        await days.ensure({TODAY, TODAY + 1})

    assert sessions.opened == 1


async def test_making_ahead_covers_today_and_the_days_after() -> None:
    sessions = FakeSessions(*(name_of(TODAY + n) for n in range(3)))
    days = partitions(sessions)
    await days.make_ahead()
    await days.ensure({TODAY, TODAY + 1, TODAY + 2})

    assert sessions.opened == 1
