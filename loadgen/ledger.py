"""The account of one run, in memory: what was issued, when it happened, and what became of it."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, Protocol

from loadgen.encode import EventRange
from loadgen.outcome import Fate, Outcome

# A half-open range of event numbers.
Span = tuple[int, int]

_CODES: Final = {Fate.ACKED: 1, Fate.REFUSED: 2, Fate.NOT_TAKEN: 3, Fate.UNKNOWN: 4}
_RUNS: Final = {fate: re.compile(re.escape(bytes([code])) + b"+") for fate, code in _CODES.items()}


class Account(Protocol):
    """What a verification needs to know of a run. Events are named by their numbers, 0 to `issued_events` - 1."""

    @property
    def issued_events(self) -> int: ...

    @property
    def last_acked_unix_us(self) -> int:
        """When the last acknowledgement came in; 0 if none did."""

    def time_range_ms(self) -> tuple[int, int]:
        """The least and the greatest event time, in Unix milliseconds, both included. Raises ValueError if none."""

    def ms_of(self, number: int) -> int: ...

    def spans(self, fate: Fate) -> Iterator[Span]:
        """The disjoint, ascending ranges of numbers with this fate."""

    def slices(self, fate: Fate, slice_ms: int) -> dict[int, list[Span]]:
        """The same ranges, cut where event times pass a multiple of `slice_ms`: slice number -> ranges in it.

        Slice `n` holds the times from `n * slice_ms`, up to and without `(n + 1) * slice_ms`.
        """

    def count(self, fate: Fate) -> int: ...


class RunLedger:
    """An `Account` that is kept by recording: one byte for each event and 24 for each request.

    Issued ranges must follow one another without gap. A ledger on disk can take its place: it records the same calls
    and answers the same questions.
    """

    def __init__(self) -> None:
        self._fates = bytearray()
        self._firsts = array("q")
        self._first_us = array("q")
        self._steps_us = array("q")
        self._least_ms: int | None = None
        self._greatest_ms = 0
        self._last_acked_unix_us = 0

    def issued(self, events: EventRange) -> None:
        if events.first != len(self._fates):
            raise ValueError(f"event {events.first} was issued after event {len(self._fates) - 1}")
        self._fates += bytes(events.count)
        self._firsts.append(events.first)
        self._first_us.append(events.first_us)
        self._steps_us.append(events.step_us)
        first_ms, last_ms = events.ms_of(events.first), events.ms_of(events.first + events.count - 1)
        self._least_ms = first_ms if self._least_ms is None else min(self._least_ms, first_ms)
        self._greatest_ms = max(self._greatest_ms, last_ms)

    def finished(self, outcome: Outcome) -> None:
        first, count = outcome.events.first, outcome.events.count
        self._fates[first : first + count] = bytes([_CODES[outcome.fate]]) * count
        for index, _ in outcome.rejected:
            self._fates[first + index] = _CODES[Fate.REFUSED]
        if outcome.fate is Fate.ACKED:
            self._last_acked_unix_us = max(self._last_acked_unix_us, outcome.acked_unix_us)

    @property
    def issued_events(self) -> int:
        return len(self._fates)

    @property
    def last_acked_unix_us(self) -> int:
        return self._last_acked_unix_us

    def time_range_ms(self) -> tuple[int, int]:
        if self._least_ms is None:
            raise ValueError("nothing was issued")
        return self._least_ms, self._greatest_ms

    def ms_of(self, number: int) -> int:
        place = bisect_right(self._firsts, number) - 1
        return (self._first_us[place] + (number - self._firsts[place]) * self._steps_us[place]) // 1000

    def spans(self, fate: Fate) -> Iterator[Span]:
        return (found.span() for found in _RUNS[fate].finditer(self._fates))

    def slices(self, fate: Fate, slice_ms: int) -> dict[int, list[Span]]:
        found: dict[int, list[Span]] = {}
        for begin, end in self.spans(fate):
            number = begin
            while number < end:
                place, stop = self._same_slice(number, end, slice_ms)
                ranges = found.setdefault(place, [])
                if ranges and ranges[-1][1] == number:
                    ranges[-1] = (ranges[-1][0], stop)
                else:
                    ranges.append((number, stop))
                number = stop
        return found

    def _same_slice(self, number: int, end: int, slice_ms: int) -> tuple[int, int]:
        """The slice of event `number`, and the first number after it that is `end`, of another request or slice."""
        place = bisect_right(self._firsts, number) - 1
        first, first_us, step_us = self._firsts[place], self._first_us[place], self._steps_us[place]
        if place + 1 < len(self._firsts):
            end = min(end, self._firsts[place + 1])
        slice_us = slice_ms * 1000
        slice_number = (first_us + (number - first) * step_us) // slice_us
        if step_us:
            end = min(end, first - ((first_us - (slice_number + 1) * slice_us) // step_us))
        return slice_number, end

    def count(self, fate: Fate) -> int:
        return self._fates.count(_CODES[fate])
