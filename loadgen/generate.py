"""Endless realistic security events from a seeded generator, and their placing in a span of time; no clock, no I/O."""

from __future__ import annotations

import heapq
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, islice
from random import Random
from typing import Final

from loadgen.cast import Dice
from loadgen.scenarios import MIX, SampleEvent, Step

# Stories that begin per second of the sample world's own time; only their overlap matters, since `spread` scales it.
_STORIES_PER_S: Final = 6.0
# Within this many events the bursts keep their shape; each such slice gets the same share of the span.
_SLICE: Final = 2000


def sample_events(rng: Random) -> Iterator[tuple[float, SampleEvent]]:
    """Events of many overlapping stories in the order of their time, as (seconds since the start, event), without end.

    The same generator state gives the same events. Stories begin at random (a Poisson process) by the weights of
    `scenarios.MIX`; the steps of one story keep their order and what they share (address, user, session).
    """
    dice = Dice(rng)
    weights = list(accumulate(weight for weight, _ in MIX))
    stories = [story for _, story in MIX]
    begin_s = 0.0
    # The number settles ties, so that two events of one moment never compare as events.
    number = 0
    waiting: list[tuple[float, int, SampleEvent, Iterator[Step]]] = []
    while True:
        while not waiting or begin_s <= waiting[0][0]:
            steps = stories[bisect(weights, dice.random() * weights[-1])](dice)
            after_s, event = next(steps)
            number += 1
            heapq.heappush(waiting, (begin_s + after_s, number, event, steps))
            begin_s += rng.expovariate(_STORIES_PER_S)
        at_s, _, event, steps = waiting[0]
        yield at_s, event
        following = next(steps, None)
        if following is None:
            heapq.heappop(waiting)
        else:
            number += 1
            heapq.heapreplace(waiting, (at_s + following[0], number, following[1], steps))


def spread(
    events: Iterator[tuple[float, SampleEvent]], count: int, start_ms: int, span_ms: int
) -> Iterator[tuple[int, SampleEvent]]:
    """The first `count` events, in order, placed over `[start_ms, start_ms + span_ms)`: (Unix milliseconds, event)."""
    done = 0
    while done < count:
        part = list(islice(events, min(_SLICE, count - done)))
        begin_ms = start_ms + span_ms * done / count
        share_ms = span_ms * len(part) / count
        first_s, length_s = part[0][0], max(part[-1][0] - part[0][0], 1e-9)
        scale = share_ms * (1 - 1 / (len(part) + 1)) / length_s
        for at_s, event in part:
            yield int(begin_ms + (at_s - first_s) * scale), event
        done += len(part)
