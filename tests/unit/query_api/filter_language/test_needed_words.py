"""No event is passed over: whatever a filter selects lies in a block that may have the words it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from query_api.filter_language.expressions import Expression
from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.needed_words import ANYTHING, needed_words, words_in
from query_api.filter_language.parse import parse
from query_api.filter_language.written import written
from query_api.word_blocks import mask_of
from stream_app.contract import word_filters as kept
from stream_app.word_filter import WordFilter
from stream_app.word_filters import by_turns, joined
from tests.filter_expressions import attributes, expressions, messages, sources
from tests.word_rows import word_row

MINUTE_US = 60_000_000
Event = tuple[int, str, str, str | None]
_EVENTS = st.lists(st.tuples(st.integers(0, 4), sources, messages, attributes), min_size=1, max_size=5)


def filter_of(events: list[Event]) -> WordFilter:
    """A filter with a block for each event, as if each had been a window; joined."""
    parts = []
    for minute, (_, _, message, encoded) in enumerate(events):
        row = word_row(minute * MINUTE_US, message, None if encoded is None else encoded.encode())
        parts += asyncio.run(by_turns([row]))
    return joined(parts)


def answer(part: WordFilter, words: list[int]) -> Mapping[str, object]:
    """As PostgreSQL answers for one filter."""
    width = kept.slice_bytes(part.blocks)
    places = [place & part.places - 1 for word in words for place in kept.places_of(word)]
    return {"found": [part.slices[at * width : (at + 1) * width] for at in places], "blocks": part.blocks}


def blocks_for(expression: Expression, part: WordFilter) -> set[int]:
    needed = needed_words(expression)
    words = list(dict.fromkeys(words_in(needed)))
    mask = mask_of(needed, words, answer(part, words))
    return {index for index in range(part.blocks) if mask >> index & 1}


@given(expressions, _EVENTS)
def test_what_is_selected_is_in_a_block_that_is_looked_at(expression: Expression, events: list[Event]) -> None:
    note(written(expression))
    selected = {
        index
        for index, (severity, source, message, encoded) in enumerate(events)
        if matches(expression, Candidate(severity, source, message, attributes_of(encoded)))
    }
    assert selected <= blocks_for(expression, filter_of(events))


EVENTS: list[Event] = [
    (0, "s", "Failed password from 203.0.113.7 port 22", '{"user":"root","port":22,"path":"C:\\\\new\\\\tab"}'),
    (0, "s", "203 0 113 7 are words too", '{"user":"\\u0072oot2","note":"a\\nroot b"}'),
    (0, "s", "nothing of it", None),
]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("failed", {0}),
        ("absent", set()),
        ('"203.0.113.7"', {0}),
        ("203.0.113.*", {0, 1}),
        ("fail*", {0, 1, 2}),
        ("*-password-fr*", {0}),
        ("user:root", {0, 1}),
        ("user:root2", {1}),
        ("port:22.0", {0}),
        ("port:23", set()),
        ("port:*", {0}),
        ('path:"C:\\new\\tab"', {0}),
        ("note:/root/", {1}),
        ("failed OR nothing", {0, 2}),
        ("failed nothing", set()),
        ("-failed", {0, 1, 2}),
        ("severity:HIGH", {0, 1, 2}),
        ("/absent/", {0, 1, 2}),
        ("root", set()),
    ],
)
def test_blocks_without_the_words_are_not_looked_at(text: str, blocks: set[int]) -> None:
    assert blocks_for(parse(text), filter_of(EVENTS)) == blocks


@pytest.mark.parametrize("text", ["*", "-failed", "severity:HIGH", "/x/", "*part*", "absent OR /x/", "-(a b)"])
def test_filters_that_need_no_word_ask_for_none(text: str) -> None:
    assert needed_words(parse(text)) == ANYTHING


def test_a_word_beyond_the_longest_is_not_asked_for() -> None:
    long = "x" * (kept.LONGEST_WORD + 1)
    assert needed_words(parse(long)) == ANYTHING
    assert len(list(words_in(needed_words(parse(f'"{long}.1.2.3.4"'))))) == 5
