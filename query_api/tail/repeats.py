"""Which events came before: a record that a retry sent once more is not shown twice, as far as memory goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from query_api.tail.live_event import LiveEvent
from query_api.tail.vector import Vector

MOST_REMEMBERED: Final = 100_000
# Of one event. Somebody who sends it again and again must not make each look longer than the one before.
_MOST_PLACES: Final = 16
_Key = tuple[int, bytes]
_Place = tuple[int, int]


class KnownPlaces:
    """Where the last events were met by anybody who reads; the oldest are forgotten."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._first: dict[_Key, _Place] = {}
        # Few events have any.
        self._further: dict[_Key, list[_Place]] = {}

    def note(self, events: Sequence[LiveEvent]) -> None:
        """These were read."""
        first = self._first
        for event in events:
            key, place = _key_of(event), (event.partition, event.offset)
            if first.setdefault(key, place) != place:
                further = self._further.setdefault(key, [])
                if place not in further and len(further) < _MOST_PLACES:
                    further.append(place)
        for key in list(islice(first, max(len(first) - self._most, 0))):
            del first[key]
            self._further.pop(key, None)

    def is_repeat(self, event: LiveEvent, positions: Vector) -> bool:
        """Whether another record of the same event lies before `positions`, so that it was shown, or judged, there."""
        return any(
            offset < positions.get(partition, 0)
            for partition, offset in self._places(_key_of(event))
            if (partition, offset) != (event.partition, event.offset)
        )

    def _places(self, key: _Key) -> Iterator[_Place]:
        if (first := self._first.get(key)) is not None:
            yield first
            yield from self._further.get(key, ())

    def clear(self) -> None:
        """Nobody reads any more."""
        self._first.clear()
        self._further.clear()


def _key_of(event: LiveEvent) -> _Key:
    return event.identity.ts_us, event.identity.id
