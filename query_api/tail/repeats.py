"""Which events came before: a record that a retry sent once more is not shown twice, as far as memory goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from query_api.tail.live_event import LiveEvent
from query_api.tail.vector import Vector

MOST_REMEMBERED: Final = 100_000
# Of one event. Somebody who sends it again and again must not make each look longer than the one before.
_MOST_PLACES: Final = 16
_Key = tuple[int, bytes]
_Place = tuple[int, int]


class KnownPlaces:
    """Where the last events were met by anybody who reads; the older half is forgotten at once."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most_a_half = most // 2
        self._newer: dict[_Key, tuple[_Place, ...]] = {}
        self._older: dict[_Key, tuple[_Place, ...]] = {}

    def note(self, events: Sequence[LiveEvent]) -> None:
        """These were read."""
        for event in events:
            key, place = _key_of(event), (event.partition, event.offset)
            known = self._places(key)
            if not known:
                self._newer[key] = (place,)
            elif place not in known and len(known) < _MOST_PLACES:
                self._newer[key] = (*known, place)
        if len(self._newer) > self._most_a_half:
            self._older, self._newer = self._newer, {}

    def is_repeat(self, event: LiveEvent, positions: Vector) -> bool:
        """Whether another record of the same event lies before `positions`, so that it was shown, or judged, there."""
        return any(
            offset < positions.get(partition, 0)
            for partition, offset in self._places(_key_of(event))
            if (partition, offset) != (event.partition, event.offset)
        )

    def _places(self, key: _Key) -> tuple[_Place, ...]:
        return self._newer.get(key) or self._older.get(key, ())

    def clear(self) -> None:
        """Nobody reads any more."""
        self._newer, self._older = {}, {}


def _key_of(event: LiveEvent) -> _Key:
    return event.identity.ts_us, event.identity.id
