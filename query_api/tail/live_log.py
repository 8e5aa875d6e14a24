"""Reads the end of the topic once for everybody who tails, and only while somebody does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from query_api.kafka_consumer import KafkaUnavailableError, OffsetsGoneError
from query_api.tail.live_event import EventDecoder, KafkaRecord, LiveEvent
from query_api.tail.losses import MOST_BEHIND, Bounds, losses_of, placed
from query_api.tail.repeats import KnownPlaces
from query_api.tail.ring import Batch, EventRing
from query_api.tail.topic_reader import Fetched
from query_api.tail.turns import TURN_S, Turns
from query_api.tail.vector import Vector

log = logging.getLogger(__name__)
_FETCH_WAIT_S: Final = 0.5
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
# After so long without a record, though Kafka has some, a new connection is made.
_STUCK_S: Final = 15.0
# Ten times as long as decoding took: a filter that costs more than ten times as much is overtaken.
_LET_WORK_S: Final = 10 * TURN_S
# One step of decoding between two looks at the clock.
_STEP: Final = 20


class Reader(Protocol):
    """One connection to the topic; see TopicReader."""

    async def bounds(self) -> Bounds: ...
    def start(self, positions: Vector) -> None: ...
    async def fetch(self, wait_s: float) -> Sequence[Fetched]: ...
    def has_grown(self) -> bool: ...
    async def close(self) -> None: ...


class KafkaView(Protocol):
    """What is known of Kafka without asking it."""

    def trouble_with_kafka(self) -> str | None:
        """Why it does not answer; None while it does."""
        ...

    def end_offsets(self) -> Vector:
        """Where each partition ended a moment ago; empty while that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What the live log is made from."""

    open_reader: Callable[[], Reader]
    decoder: EventDecoder
    kafka: KafkaView
    now: Callable[[], datetime]


class LiveLog:
    """`ring` has what comes; `trouble` says why nothing does."""

    def __init__(self, sources: Sources, turns: Turns, ring: EventRing | None = None) -> None:
        self.sources = sources
        self.turns = turns
        self.ring = ring or EventRing()
        self.places = KnownPlaces()
        self._failure: str | None = None
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._known = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        """What keeps events from coming; None while nothing does."""
        return self._failure or self.sources.kafka.trouble_with_kafka()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Reads while the block runs."""
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._stop(self._task)

    def _stop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        self._task = self._failure = None
        self._known.clear()
        self.ring.clear()
        self.places.clear()

    async def known_within(self, wait_s: float) -> bool:
        """Whether it is known where the partitions end, after at most so long."""
        # Not wait_for: in Python 3.11 it passes over being cancelled where what it waits for is there just then.
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._known.wait()
        return self._known.is_set()

    async def _run(self) -> None:
        """Goes on until nobody tails, through every trouble."""
        failures = 0
        while True:
            reader = self.sources.open_reader()
            try:
                await self._begin(reader)
                failures = 0
                await self._follow(reader)
            except OffsetsGoneError as error:
                log.warning("offsets of the topic are gone; its bounds are asked for", extra={"why": str(error)})
            except KafkaUnavailableError as error:
                self._failure = str(error)
                log.warning("the end of the topic cannot be read; tails wait", extra={"why": str(error)})
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
            except Exception:
                # Our bug: it must be seen, and must not end what every tail waits for.
                self._failure = "this is our fault; the log has it"
                log.exception("reading the end of the topic failed")
                await asyncio.sleep(_RETRY_S[-1])
            finally:
                await asyncio.shield(reader.close())

    async def _begin(self, reader: Reader) -> None:
        """At the end of the topic; after trouble, or in partitions that were added, where it was."""
        bounds = await reader.bounds()
        if not self.ring.ends:
            self.ring.begin({partition: end for partition, (_, end) in bounds.items()})
        found = placed(self.ring.ends, bounds)
        self.ring.begin(found.positions)
        told = losses_of(found, self.sources.now(), None)
        for partition, offset in found.positions.items():
            if offset != self.ring.ends[partition]:
                self.ring.append(Batch(partition, offset, moved=True, losses=told))
                told = []
        reader.start(found.positions)
        self._known.set()

    async def _follow(self, reader: Reader) -> None:
        now_s = self.turns.now_s
        moved_s = now_s()
        while not reader.has_grown():
            for fetched in await reader.fetch(_FETCH_WAIT_S):
                self._failure = None
                moved_s = now_s()
                async for events, next_offset in in_turns(fetched, self.sources.decoder, self.turns):
                    self.places.note(events)
                    self.ring.append(Batch(fetched.partition, next_offset, events))
                    await self.ring.let_work(_LET_WORK_S)
            self._failure = None
            behind = self._behind()
            if behind > MOST_BEHIND or (behind and now_s() - moved_s > _STUCK_S):
                return

    def _behind(self) -> int:
        """How many records Kafka had a moment ago that were not read."""
        ends = self.sources.kafka.end_offsets()
        return sum(max(end - self.ring.ends.get(partition, end), 0) for partition, end in ends.items())


async def in_turns(
    fetched: Fetched, decoder: EventDecoder, turns: Turns
) -> AsyncGenerator[tuple[list[LiveEvent], int]]:
    """The events of what was fetched with the offset behind them, in pieces that each took a short turn to decode."""
    records, done = fetched.records, 0
    while True:
        events: list[LiveEvent] = []
        async with turns.one() as pause_at_s:
            while done < len(records):
                step: Sequence[KafkaRecord] = records[done : done + _STEP]
                events += decoder.decoded(fetched.partition, step)
                done += len(step)
                if turns.now_s() >= pause_at_s:
                    break
        if done >= len(records):
            yield events, fetched.next_offset
            return
        yield events, records[done - 1].offset + 1
