"""Spans cover a range once, in either order, wherever they are cut."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from query_api.exports.span import Place, Span, whole
from query_api.timeline import Window
from tests.unit.query_api.builders import NOON, search_filter

MICROSECOND = timedelta(microseconds=1)
END = NOON + 8 * MICROSECOND
GREATEST = UUID(int=(1 << 128) - 1)
identifiers = st.sampled_from([UUID(int=0), UUID(int=1), UUID(int=5), GREATEST])
moments = st.integers(0, 7).map(lambda n: NOON + n * MICROSECOND)
places = st.builds(Place, moments, identifiers)


def holds(span: Span, event: Place) -> bool:
    """As the statement asks it."""
    key, after, until = ((p.ts, p.id) for p in (event, span.after, span.until))
    inside = until <= key < after if span.newest_first else after < key <= until
    return inside and span.window.start <= event.ts < span.window.end


@given(st.lists(places, min_size=1, unique=True), places, st.booleans())
def test_each_event_is_on_one_side_of_a_cut(events: list[Place], cut: Place, newest_first: bool) -> None:
    span = whole(search_filter(start=NOON, end=END), newest_first=newest_first)
    for event in events:
        # No event has the least or the greatest id there is: these stand for moments.
        if event.id in (UUID(int=0), GREATEST):
            continue
        assert holds(span, event)
        assert holds(span.up_to(cut), event) != holds(span.behind(cut), event)


@given(places, st.booleans(), st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1]))
def test_going_to_the_end_of_windows_comes_to_an_end(
    place: Place, newest_first: bool, window: tuple[object, object]
) -> None:
    span = whole(search_filter(start=NOON, end=END), newest_first=newest_first).behind(place)
    seen = 0
    while not span.is_empty:
        cut = span.window
        assert cut.start < cut.end
        step = Window(cut.end - MICROSECOND, cut.end) if newest_first else Window(cut.start, cut.start + MICROSECOND)
        span = span.behind(span.end_of(step))
        seen += 1
        assert seen <= 10
    assert window
