"""Sample events as the bytes that are sent: everything but id and time is encoded once and used again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count, islice
from random import Random
from typing import Any, Final

import msgspec

from loadgen.cast import SOURCES
from loadgen.generate import sample_events
from loadgen.identity import RunIdentity, scattered
from loadgen.scenarios import SampleEvent

# One cycle: long enough that neighbouring batches share little, short enough to be made in a tenth of a second.
CYCLE_EVENTS: Final = 20_000

_encoder: Final = msgspec.json.Encoder()


@lru_cache(maxsize=64)
def _second_text(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(unix_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 text in UTC, such as `2026-11-24T10:00:00.125Z`."""
    return f"{_second_text(unix_ms // 1000)}.{unix_ms % 1000:03d}Z"


def encode_line(event: SampleEvent, unix_ms: int, identifier: str | None) -> bytes:
    """One event as one JSON object without line end: `id` (if any) and `timestamp` first."""
    head = f'{{"id":"{identifier}","timestamp":"' if identifier else '{"timestamp":"'
    return f'{head}{rfc3339(unix_ms)}",'.encode() + _encoder.encode(event)[1:]


class Templates:
    """A fixed cycle of events without id and time; event `number` of a run is `number` modulo its length."""

    def __init__(self, events: Sequence[SampleEvent]) -> None:
        self.events: Final = events
        self.tails: Final = [_encoder.encode(event)[1:] for event in events]
        places: dict[str, list[int]] = {}
        for place, event in enumerate(events):
            places.setdefault(event.source, []).append(place)
        self._places = places

    @property
    def sources(self) -> list[str]:
        return sorted(self._places)

    def event(self, number: int) -> SampleEvent:
        return self.events[number % len(self.events)]

    def count_of(self, source: str, spans: Iterable[tuple[int, int]]) -> int:
        """How many events of `source` have a number within the half-open, disjoint `spans`."""
        places = self._places[source]

        def below(number: int) -> int:
            cycles, rest = divmod(number, len(self.events))
            return cycles * len(places) + bisect_left(places, rest)

        return sum(below(end) - below(begin) for begin, end in spans)

    def numbers_of(self, source: str, spans: Iterable[tuple[int, int]]) -> Iterator[int]:
        """These numbers, ascending within each span."""
        places, size = self._places[source], len(self.events)
        for begin, end in spans:
            cycle, rest = divmod(begin, size)
            for turn in count(bisect_left(places, rest)):
                further, place = divmod(turn, len(places))
                number = (cycle + further) * size + places[place]
                if number >= end:
                    break
                yield number


def make_templates(
    seed: int, source_prefix: str, cycle_events: int = CYCLE_EVENTS, *, attributes: bool = True
) -> Templates:
    """The cycle of a run: the sample events of `seed`, each source's name behind `source_prefix`."""
    names = {source: source_prefix + source for source in SOURCES}
    events = (event for _, event in islice(sample_events(Random(seed)), cycle_events))
    changes: dict[str, Any] = {} if attributes else {"attributes": {}}
    return Templates([msgspec.structs.replace(event, source=names[event.source], **changes) for event in events])


@dataclass(frozen=True, slots=True)
class EventRange:
    """Consecutive events of one run that are sent together: event `first + i` happened at `first_us + i * step_us`."""

    first: int
    count: int
    first_us: int
    step_us: int

    def ms_of(self, number: int) -> int:
        """When event `number` happened, in Unix milliseconds."""
        return (self.first_us + (number - self.first) * self.step_us) // 1000


class EventEncoder:
    """Makes the bytes of any range of one run's events; the same range gives the same bytes."""

    def __init__(self, identity: RunIdentity, templates: Templates) -> None:
        self.identity: Final = identity
        self.templates: Final = templates

    def encode(self, events: EventRange) -> list[bytes]:
        """Each event as one JSON object with its id (a UUIDv7 of its timestamp's millisecond), in order."""
        tails, size = self.templates.tails, len(self.templates.tails)
        encoded: list[bytes] = []
        number, end = events.first, events.first + events.count
        while number < end:
            # Neighbours of one millisecond share everything before and between their own twelve digits.
            unix_ms = events.ms_of(number)
            head = f'{{"id":"{self.identity.id_head(unix_ms)}'.encode()
            middle = f'","timestamp":"{rfc3339(unix_ms)}",'.encode()
            stop = end
            if events.step_us:
                stop = min(end, events.first + -(-((unix_ms + 1) * 1000 - events.first_us) // events.step_us))
            encoded += [
                b"%b%012x%b%b" % (head, scattered(each), middle, tails[each % size]) for each in range(number, stop)
            ]
            number = stop
        return encoded
