"""Events dated far ahead come into the recent lists once they are near, each in one round."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_app.contract import MAX_RECENT_AHEAD_S
from stream_app.mirror_parts import Recent
from stream_app.near_events import NearEvents
from stream_app.outcomes import StoreUnavailableError

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
AHEAD = timedelta(seconds=MAX_RECENT_AHEAD_S)


class Parts:
    """A store of times, the lists, and a clock."""

    def __init__(self) -> None:
        self.now = START
        self.stored: list[datetime] = []
        self.told: list[bytes] = []
        self.away = False

    def clock(self) -> datetime:
        return self.now

    async def recent_between(self, after: datetime, until: datetime) -> Recent:
        if self.away:
            raise StoreUnavailableError("away")
        found = [(str(ts - START).encode(), 0) for ts in self.stored if after < ts <= until]
        return {None: found} if found else {}

    async def add_recent(self, recent: Recent) -> None:
        self.told += [member for member, _ in recent[None]]


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_an_event_is_told_in_the_round_in_which_it_comes_near(parts: Parts) -> None:
    near = NearEvents(parts, parts, parts.clock)
    parts.stored = [START + AHEAD + timedelta(seconds=seconds) for seconds in (0, 30, 60, 61)]
    await near.tell()
    assert parts.told == []

    parts.now += timedelta(seconds=60)
    await near.tell()
    assert parts.told == [b"0:10:30", b"0:11:00"]

    parts.now += timedelta(seconds=60)
    await near.tell()
    assert parts.told[2:] == [b"0:11:01"]


async def test_a_round_that_could_not_look_is_made_good_by_the_next(parts: Parts) -> None:
    near = NearEvents(parts, parts, parts.clock)
    parts.stored = [START + AHEAD + timedelta(seconds=30)]
    parts.now += timedelta(seconds=60)
    parts.away = True
    with pytest.raises(StoreUnavailableError):
        await near.tell()

    parts.now += timedelta(seconds=60)
    parts.away = False
    await near.tell()
    assert parts.told == [b"0:10:30"]
