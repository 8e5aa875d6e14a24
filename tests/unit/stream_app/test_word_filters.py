"""Word filters: the hashes are those of the contract, blocks are cut as they say, and joining forgets no word."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contract import word_filters as kept
from stream_app.prepare import Row
from stream_app.word_filter import HOUR_US, WordFilter
from stream_app.word_filters import MOST_HOURS, blocks_of, by_turns, joined
from stream_app.word_hashing import attribute_words, message_words
from tests.word_rows import word_row

_TEXTS = st.lists(st.text(st.sampled_from('abzAZ09_.. \n"\\/-äÄ\u4e16\U0001f600\x7f'), max_size=40), max_size=8)


def reference(texts: list[str], part: int) -> set[int]:
    """The hashes one by one, as the contract's words say."""
    found = set()
    for text in texts:
        words = [(m.start(), m[0]) for m in re.finditer(rb"[^\0]+", text.encode().translate(kept.FOLDED))]
        hashes = [kept.word_hash(word, part) for _, word in words]
        found |= set(hashes)
        for first in range(len(words) - kept.DOTTED + 1):
            run = words[first : first + kept.DOTTED]
            between = [text.encode()[a + len(word) : b] for (a, word), (b, _) in pairwise(run)]
            if set(between) == {b"."}:
                found.add(kept.dotted_hash(hashes[first : first + kept.DOTTED]))
    return found


@given(_TEXTS)
def test_all_words_at_once_are_the_words_one_by_one(texts: list[str]) -> None:
    assert set(message_words(text.encode() for text in texts).tolist()) == reference(texts, kept.MESSAGES)


@given(_TEXTS, st.booleans())
def test_words_of_attributes_are_those_of_the_values_however_they_are_escaped(texts: list[str], plain: bool) -> None:
    encoded = [json.dumps({"k": text}, ensure_ascii=not plain).encode() for text in texts]
    expected = reference([text for value in texts for text in ("k", value)], kept.ATTRIBUTES)
    assert set(attribute_words(encoded).tolist()) == expected


def test_character_zero_is_what_stands_for_it_in_searches() -> None:
    found = set(attribute_words([rb'{"k":"a\u0000b","l":"\\u0000","m":"\ud83d\ude00"}']).tolist())
    assert found == reference(["k", "a\ufffdb", "l", r"\u0000", "m", "\U0001f600"], kept.ATTRIBUTES)


@pytest.mark.parametrize("between", [" ", ".", "\n"])
def test_long_texts_are_hashed_in_stretches_that_cut_no_word(between: str) -> None:
    text = between.join(f"w{number}" for number in range(30_000))
    assert set(message_words([text.encode()]).tolist()) >= reference([text], kept.MESSAGES)


def test_a_word_longer_than_a_stretch_takes_no_other_word_with_it() -> None:
    words = set(message_words([b"before " + b"x" * 100_000 + b" after"]).tolist())
    assert {kept.word_hash(word, kept.MESSAGES) for word in (b"before", b"after")} <= words


def rows_of(number: int, hours: int = 1) -> list[Row]:
    return [word_row(index * hours * HOUR_US // number, f"event e{index}") for index in range(number)]


def may_hold(part: WordFilter, word: str) -> set[int]:
    width = kept.slice_bytes(part.blocks)
    mask = (1 << part.blocks) - 1
    for place in kept.places_of(kept.word_hash(word.encode(), kept.MESSAGES)):
        at = (place & part.places - 1) * width
        mask &= int.from_bytes(part.slices[at : at + width], "little")
    return {index for index in range(part.blocks) if mask >> index & 1}


@pytest.mark.parametrize(("number", "blocks"), [(1, 1), (399, 1), (400, 8), (5600, 8), (5601, 16), (10_000, 16)])
def test_rows_are_cut_into_blocks_of_about_equal_number(number: int, blocks: int) -> None:
    cut = list(blocks_of(rows_of(number)))
    assert len(cut) == blocks
    assert sum(map(len, cut)) == number
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_a_block_of_large_events_has_fewer() -> None:
    rows = [word_row(index, "x" * 600_000) for index in range(5)]
    assert [len(block) for block in blocks_of(rows)] == [1] * 5


def test_each_word_is_found_in_its_block_and_hardly_elsewhere() -> None:
    (part,) = asyncio.run(by_turns(rows_of(10_000)))
    bounds = kept.unpacked_bounds(part.bounds)
    in_vain = 0
    for index in range(0, 10_000, 7):
        ts_us = index * HOUR_US // 10_000
        found = may_hold(part, f"e{index}")
        own = {block for block, (first, last) in enumerate(bounds) if first <= ts_us <= last}
        assert own <= found
        in_vain += len(found - own)
    assert in_vain / (10_000 / 7 * part.blocks) < 0.01
    assert (part.events, part.first_us, part.last_us) == (10_000, 0, 9_999 * HOUR_US // 10_000)


def test_each_hour_has_a_filter_of_its_own_and_too_many_hours_have_none() -> None:
    filters = asyncio.run(by_turns(rows_of(600, hours=5)))
    assert [(part.first_us // HOUR_US, part.events) for part in filters] == [(hour, 120) for hour in range(5)]
    assert asyncio.run(by_turns(rows_of(MOST_HOURS + 1, hours=MOST_HOURS + 1))) == []


def test_what_was_joined_holds_every_word_of_every_block() -> None:
    rows = rows_of(3000)
    sizes = (1, 30, 500, 1200, 269, 1000)
    parts: list[WordFilter] = []
    start = 0
    for size in sizes:
        parts += asyncio.run(by_turns(rows[start : start + size]))
        start += size
    whole = joined(parts)
    assert whole.events == 3000
    assert whole.blocks == sum(part.blocks for part in parts)
    assert kept.unpacked_bounds(whole.bounds) == [pair for part in parts for pair in kept.unpacked_bounds(part.bounds)]
    for index in range(0, 3000, 11):
        before = 0
        for part in parts:
            found = may_hold(part, f"e{index}")
            assert {block + before for block in found} == {
                block for block in may_hold(whole, f"e{index}") if before <= block < before + part.blocks
            }
            before += part.blocks
