"""Which blocks of stored events may hold the words that a filter needs; the form is the stream application's."""

# ruff: noqa: S608 - as in sql.py: only fixed fragments and names of the contract are put together.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import and_, or_
from typing import Final

from ingest_gateway.contract import EPOCH
from query_api.filter_language.needed_words import All, Any, Needed, Word, words_in
from query_api.snapshot import Row, Snapshot
from query_api.sql import each_of
from query_api.statement import Arguments, Statement
from query_api.timeline import HOUR, Window, joined
from stream_app.contract import WORD_FILTERS, word_filters

_MICROSECOND: Final = timedelta(microseconds=1)

_BOUNDS: Final = f"SELECT ctid AS place, bounds FROM {WORD_FILTERS} WHERE ctid = ANY($1::tid[])"


@dataclass(frozen=True, slots=True)
class HourOfEvents:
    """An hour and how many events are counted in it."""

    start: datetime
    events: int


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring events, and about how many they are."""

    window: Window
    events: int


async def blocks_with(
    snapshot: Snapshot, needed: Needed, hours: Sequence[HourOfEvents]
) -> Mapping[datetime, Sequence[Block]]:
    """The blocks of these hours (newest first) that may have the words, for each hour that can be searched so.

    An hour is left out whose filters are not of all its events: some came before there were filters, or without.
    """
    words = list(dict.fromkeys(words_in(needed)))
    places = [place for word in words for place in word_filters.places_of(word)]
    within = Window(hours[-1].start, hours[0].start + HOUR)
    rows = await snapshot.fetch(_slices(joined((hour.start for hour in hours), HOUR, within), places))
    of_hour: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        of_hour[row["hour"]].append(row)
    served = {hour.start: of_hour[hour.start] for hour in hours if _events(of_hour[hour.start]) == hour.events}
    hits = {
        row["place"]: (row, mask) for kept in served.values() for row in kept if (mask := mask_of(needed, words, row))
    }
    bounds = await snapshot.fetch(Statement(_BOUNDS, (list(hits),))) if hits else ()
    found: dict[datetime, list[Block]] = {start: [] for start in served}
    for kept in bounds:
        row, mask = hits[kept["place"]]
        found[row["hour"]] += _blocks(row, mask, word_filters.unpacked_bounds(kept["bounds"]))
    return found


def _slices(windows: Sequence[Window], places: Sequence[int]) -> Statement:
    """Of each filter the slices at these places, how many events it is of, and where it is stored: that leads back."""
    arguments = Arguments()
    visited, asked = each_of(arguments, windows), arguments.add(places)
    return arguments.statement(
        "SELECT place, date_bin('1 hour', last_ts, 'epoch'::timestamptz) AS hour, events, blocks,"
        " ARRAY(SELECT substring(slices, ((p & (octet_length(slices) / width - 1)) * width)::int + 1, width)"
        f" FROM unnest({asked}::bigint[]) AS p) AS found"
        f" FROM {visited} (SELECT ctid AS place, last_ts, events, slices, octet_length(bounds) / 16 AS blocks,"
        f" (octet_length(bounds) / 16 + 7) / 8 AS width FROM {WORD_FILTERS} WHERE last_ts >= w.a AND last_ts < w.z"
        " OFFSET 0) AS filters"
    )


def _events(rows: Sequence[Row]) -> int:
    return sum(row["events"] for row in rows)


def mask_of(needed: Needed, words: Sequence[int], row: Row) -> int:
    """Bit i: block i may have them."""
    slices = [int.from_bytes(found, "little") for found in row["found"]]
    probes = word_filters.PROBES
    has = {word: reduce(and_, slices[at * probes : (at + 1) * probes]) for at, word in enumerate(words)}
    return _combined(needed, has, (1 << row["blocks"]) - 1)


def _combined(needed: Needed, has: Mapping[int, int], every: int) -> int:
    match needed:
        case Word(number):
            return has[number]
        case All(parts):
            return reduce(and_, (_combined(part, has, every) for part in parts), every)
        case Any(parts):
            return reduce(or_, (_combined(part, has, every) for part in parts), 0)


def _blocks(row: Row, mask: int, bounds: Sequence[tuple[int, int]]) -> Iterator[Block]:
    events = -(-row["events"] // row["blocks"])
    for index, (first_us, last_us) in enumerate(bounds):
        if mask >> index & 1:
            start = EPOCH + timedelta(microseconds=first_us)
            yield Block(Window(start, EPOCH + timedelta(microseconds=last_us) + _MICROSECOND), events)


def united(blocks: Sequence[Block]) -> list[Block]:
    """Blocks that overlap as one, newest first."""
    found: list[Block] = []
    for block in sorted(blocks, key=lambda block: block.window.end, reverse=True):
        if found and block.window.end > found[-1].window.start:
            last = found[-1]
            start = min(last.window.start, block.window.start)
            found[-1] = Block(Window(start, last.window.end), last.events + block.events)
        else:
            found.append(block)
    return found
