"""Which words the blocks of a window hold, as rows of `log_word_filters`."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_app.contract.word_filters import (
    FEWEST_PLACES,
    PLACES_PER_WORD,
    PROBES,
    packed_bounds,
    slice_bytes,
    unpacked_bounds,
)
from stream_app.word_filter import HOUR_US, WordFilter
from stream_app.word_hashing import Hashes, attribute_words, message_words

# Blocks are read whole where one of their words is looked for.
_EVENTS_PER_BLOCK: Final = 700
# A window with fewer is one block: eight would take as much room for a fraction of its words each.
_FEWEST_OF_EIGHT: Final = 400
# Of the events of one block, so that its words are bounded; one with more than that is a block of its own.
_TEXT_BYTES: Final = 1 << 20
# A window of so many hours is of the past, where an hour has few events; those are found without.
MOST_HOURS: Final = 200

_time_of: Final = attrgetter("ts_us")
_message_of: Final = attrgetter("message")


class Worded(Protocol):
    """What is looked at of an event; times in microseconds since 1970."""

    @property
    def ts_us(self) -> int: ...
    @property
    def message(self) -> bytes: ...
    @property
    def attributes(self) -> Any: ...
    @property
    def text_bytes(self) -> int:
        """About how long both are together."""
        ...


def by_hours(rows: Sequence[Worded]) -> Iterator[Sequence[Worded]]:
    """The rows of each hour; rows sorted by time. None where there are more than MOST_HOURS."""
    hours = []
    start = 0
    while start < len(rows):
        end = bisect_left(rows, (rows[start].ts_us // HOUR_US + 1) * HOUR_US, lo=start, key=_time_of)
        hours.append(rows[start:end])
        if len(hours) > MOST_HOURS:
            return
        start = end
    yield from hours


def blocks_of(rows: Sequence[Worded]) -> Iterator[Sequence[Worded]]:
    """Rows of about equal number, eight blocks or a multiple of them, or one."""
    count = 1 if len(rows) < _FEWEST_OF_EIGHT else 8 * -(-len(rows) // (8 * _EVENTS_PER_BLOCK))
    for index in range(count):
        yield from _bounded(rows[len(rows) * index // count : len(rows) * (index + 1) // count])


def _bounded(rows: Sequence[Worded]) -> Iterator[Sequence[Worded]]:
    if len(rows) > 1 and sum(row.text_bytes for row in rows) > _TEXT_BYTES:
        yield from _bounded(rows[: len(rows) // 2])
        yield from _bounded(rows[len(rows) // 2 :])
    elif rows:
        yield rows


def words_of(rows: Sequence[Worded]) -> Hashes:
    """Hashes of the words of all these events."""
    attributes = [row.attributes for row in rows if row.attributes]
    words = message_words(map(_message_of, rows))
    return np.concatenate((words, attribute_words(attributes))) if attributes else words


def filter_of(blocks: Sequence[Sequence[Worded]], words: Sequence[Hashes]) -> WordFilter:
    """The filter of an hour's blocks, given the words of each."""
    places = places_for(max(map(len, words)))
    slices = np.zeros((places, slice_bytes(len(blocks))), np.uint8)
    for index, hashes in enumerate(words):
        plane = slices[:, index // 8]
        place, step = hashes >> np.uint64(32), hashes & np.uint64(0xFFFF_FFFF) | np.uint64(1)
        for _ in range(PROBES):
            plane[(place & np.uint64(places - 1)).astype(np.intp)] |= np.uint8(1 << index % 8)
            place += step
    bounds = [(block[0].ts_us, block[-1].ts_us) for block in blocks]
    return WordFilter(bounds[0][0], bounds[-1][1], sum(map(len, blocks)), packed_bounds(bounds), slices.tobytes())


def places_for(words: int) -> int:
    """A power of two."""
    return max(FEWEST_PLACES, 1 << (words * PLACES_PER_WORD - 1).bit_length()) if words else FEWEST_PLACES


def joined(filters: Sequence[WordFilter]) -> WordFilter:
    """One filter of all their blocks. A hash means the same place in the larger ones, or a place that repeats it."""
    places = max(part.places for part in filters)
    bits = np.concatenate([np.tile(_bits(part), (places // part.places, 1)) for part in filters], axis=1)
    bounds = [pair for part in filters for pair in unpacked_bounds(part.bounds)]
    return WordFilter(
        min(part.first_us for part in filters),
        max(part.last_us for part in filters),
        sum(part.events for part in filters),
        packed_bounds(bounds),
        np.packbits(bits, axis=1, bitorder="little").tobytes(),
    )


def _bits(part: WordFilter) -> NDArray[np.uint8]:
    """Shape (places, blocks)."""
    slices = np.frombuffer(part.slices, np.uint8).reshape(part.places, -1)
    return np.unpackbits(slices, axis=1, count=part.blocks, bitorder="little")


async def by_turns(rows: Sequence[Worded]) -> list[WordFilter]:
    """The filters of a window's rows, by hour, letting the event loop turn after each block."""
    filters = []
    for hour in by_hours(rows):
        blocks = list(blocks_of(hour))
        words = []
        for block in blocks:
            words.append(words_of(block))
            await asyncio.sleep(0)
        filters.append(filter_of(blocks, words))
    return filters
