"""Sample events as lines, and their sending: the work of `loadgen seed`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from loadgen.clock import Clock
from loadgen.delivery import Patience, settle
from loadgen.encode import encode_line
from loadgen.generate import sample_events, spread
from loadgen.outcome import Fate, Sender


@dataclass(frozen=True, slots=True)
class SeedRequest:
    """What to make: `count` events over `span_ms` from `start_ms` (Unix milliseconds); each time the same bytes."""

    count: int
    seed: int
    start_ms: int
    span_ms: int
    with_ids: bool


def seed_lines(request: SeedRequest) -> Iterator[bytes]:
    """Each event as one JSON object without line end, in the order of time."""
    events = spread(sample_events(Random(request.seed)), request.count, request.start_ms, request.span_ms)
    # A generator of its own, so that the events are the same with and without ids.
    bits = Random(f"{request.seed} ids").getrandbits
    for unix_ms, event in events:
        yield encode_line(event, unix_ms, _uuid7(unix_ms, bits(74)) if request.with_ids else None)


def _uuid7(unix_ms: int, random_bits: int) -> str:
    """RFC 9562 version 7: 48 bits of milliseconds, then 74 random bits around version and variant."""
    number = unix_ms << 80 | 7 << 76 | (random_bits >> 62) << 64 | 2 << 62 | random_bits & ((1 << 62) - 1)
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(slots=True)
class SeedTally:
    """What became of the lines that were sent; `problems` counts the events that were not acknowledged, by code."""

    acked: int = 0
    problems: Counter[str] = field(default_factory=Counter)


async def send_lines(lines: Iterator[bytes], sender: Sender, batch: int, patience: Patience, clock: Clock) -> SeedTally:
    """Sends all lines in order, one request at a time, each until acknowledged, refused or given up."""
    tally = SeedTally()
    while values := list(islice(lines, batch)):
        last = (await settle(sender, sender.pack(values), patience, clock))[-1]
        if last.fate is Fate.ACKED:
            tally.acked += len(values) - len(last.rejected)
            tally.problems.update(code for _, code in last.rejected)
        else:
            tally.problems[last.code] += len(values)
    return tally
