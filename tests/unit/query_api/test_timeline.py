"""Cutting ranges: the pieces add up exactly, and little is read that is not needed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import LATEST
from query_api.timeline import (
    HOUR,
    MINUTE,
    Level,
    Piece,
    Window,
    days_of,
    floor_to,
    joined,
    minute_pieces,
    pieces,
)
from tests.unit.query_api.builders import NOON, moment

# To the tenth of a second over four hours, so that edges often meet hours and minutes.
MOMENTS = st.integers(0, 4 * 36_000).map(lambda tenths: NOON + timedelta(seconds=tenths / 10))


def counted(events: list[datetime], piece: Piece) -> int:
    """As the tables count: a rollup only knows the hour or minute of an event."""
    step = {Level.HOURS: HOUR, Level.MINUTES: MINUTE}.get(piece.level)
    places = events if step is None else [floor_to(event, step) for event in events]
    found = sum(piece.start <= place < piece.end for place in places)
    return found if piece.is_added else -found


@given(st.lists(MOMENTS, max_size=60), MOMENTS, MOMENTS, st.one_of(st.just(LATEST), MOMENTS))
def test_the_pieces_add_up_to_the_range(
    events: list[datetime], one: datetime, other: datetime, latest: datetime
) -> None:
    """Also where events come from the future, after `latest`."""
    start, end = sorted((one, other + timedelta(seconds=0.1)))
    wanted = sum(start <= event < end for event in events)
    for cut in (pieces(start, end, latest), minute_pieces(start, end, latest)):
        assert sum(counted(events, piece) for piece in cut) == wanted


@given(MOMENTS, MOMENTS)
def test_a_range_that_ends_now_reads_nothing_of_the_past_at_its_end(one: datetime, other: datetime) -> None:
    """The newest minute may hold millions of rows."""
    start, now = sorted((one, other + HOUR))
    cut = pieces(start.replace(minute=0, second=0, microsecond=0), now, now)
    assert all(piece.start >= now for piece in cut if piece.level is not Level.HOURS)


@given(MOMENTS, MOMENTS)
def test_at_most_half_a_minute_of_rows_and_half_an_hour_of_minutes_is_read_at_each_end(
    one: datetime, other: datetime
) -> None:
    start, end = sorted((one, other + timedelta(seconds=0.1)))
    cut = pieces(start, end)
    rows = sum((p.end - p.start for p in cut if p.level is Level.ROWS), timedelta())
    minutes = sum((p.end - p.start for p in cut if p.level is Level.MINUTES), timedelta())
    assert rows <= MINUTE
    assert minutes <= HOUR + MINUTE


@given(MOMENTS, MOMENTS)
def test_hours_and_minutes_begin_where_their_buckets_do(one: datetime, other: datetime) -> None:
    start, end = sorted((one, other + timedelta(seconds=0.1)))
    for piece in pieces(start, end):
        if piece.level is not Level.ROWS:
            step = HOUR if piece.level is Level.HOURS else MINUTE
            assert (floor_to(piece.start, step), floor_to(piece.end, step)) == (piece.start, piece.end)


def test_whole_hours_need_nothing_else() -> None:
    assert pieces(NOON, NOON + 3 * HOUR) == [Piece(Level.HOURS, NOON, NOON + 3 * HOUR)]


def test_a_range_within_half_a_minute_is_read_from_rows() -> None:
    assert pieces(moment(1), moment(2)) == [Piece(Level.ROWS, moment(1), moment(2))]


def test_what_is_mostly_outside_is_taken_off_and_what_is_mostly_inside_is_added() -> None:
    cut = pieces(NOON + timedelta(minutes=10), NOON + HOUR + timedelta(minutes=10))
    assert cut == [
        Piece(Level.HOURS, NOON, NOON + HOUR),
        Piece(Level.MINUTES, NOON, NOON + timedelta(minutes=10), is_added=False),
        Piece(Level.MINUTES, NOON + HOUR, NOON + HOUR + timedelta(minutes=10)),
    ]


@pytest.mark.parametrize(
    ("minutes", "windows"),
    [
        pytest.param([3, 2, 1], [(60, 240)], id="neighbours are one window"),
        pytest.param([5, 2], [(300, 360), (120, 180)], id="a gap parts them"),
        pytest.param([10, 0], [(600, 630), (30, 60)], id="both ends are cut"),
        pytest.param([11], [], id="nothing within"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_minutes_become_windows(minutes: list[int], windows: list[tuple[int, int]]) -> None:
    found = joined((moment(60 * n) for n in minutes), MINUTE, Window(moment(30), moment(630)))
    assert found == [Window(moment(start), moment(end)) for start, end in windows]


def test_hours_become_one_window_a_day() -> None:
    midnight = NOON + 12 * HOUR
    hours = [midnight + n * HOUR for n in (30, 2, 0, -1, -9, -30)]

    assert days_of(hours) == [
        Window(midnight + 30 * HOUR, midnight + 31 * HOUR),
        Window(midnight, midnight + 3 * HOUR),
        Window(midnight - 9 * HOUR, midnight),
        Window(midnight - 30 * HOUR, midnight - 29 * HOUR),
    ]
