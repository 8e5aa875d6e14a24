"""From where a client was to where the live log is: read apart, a few at a time, by a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from query_api.kafka_consumer import KafkaUnavailableError, OffsetsGoneError
from query_api.tail.live_log import LiveLog, Reader, in_turns
from query_api.tail.losses import Bounds, Loss, Placed, losses_of, placed
from query_api.tail.ring import Batch, RingReader
from query_api.tail.vector import Vector

# Each has a connection, and reads what it can.
MOST_AT_ONCE: Final = 4
# One whose client takes what it is sent so slowly that it never arrives goes on with what comes now.
LONGEST_S: Final = 60.0
_FETCH_WAIT_S: Final = 0.5
_RETRY_S: Final = 1.0
# So many records before the client's position are read as well: those after it may repeat one of them.
_LOOKED_BACK: Final = 20_000
_LOOK_S: Final = 2.0


class CatchUp:
    """One way back into the live log. After `batches`, `reader` is a place in its ring."""

    def __init__(self, live: LiveLog, turns_at_once: asyncio.Semaphore, after: Vector) -> None:
        self.reader: RingReader | None = None
        self.positions: dict[int, int] = dict(after)
        self.trouble: str | None = None
        self._live = live
        self._turns_at_once = turns_at_once

    async def batches(self) -> AsyncGenerator[Batch | None]:
        """What there is to read on the way; None from time to time while there is nothing yet.

        Whoever iterates has moved `positions` behind a batch before it asks for the next one.
        """
        while not await self._live.known_within(_FETCH_WAIT_S):
            yield None
        while not await self._has_turn():
            yield None
        try:
            until_s = self._live.turns.now_s() + LONGEST_S
            while self.reader is None:
                async with aclosing(self._attempt(until_s)) as attempt:
                    async for batch in attempt:
                        yield batch
        finally:
            self._turns_at_once.release()

    async def _has_turn(self) -> bool:
        try:
            async with asyncio.timeout(_FETCH_WAIT_S):
                await self._turns_at_once.acquire()
        except TimeoutError:
            return False
        return True

    async def _attempt(self, until_s: float) -> AsyncGenerator[Batch | None]:
        """Reads with one connection until it has arrived, or Kafka cannot be asked."""
        connection = self._live.sources.open_reader()
        try:
            for batch in await self._begin(connection, most_behind=None):
                yield batch
            while not self._arrived():
                if self._live.turns.now_s() > until_s:
                    for batch in await self._begin(connection, most_behind=0):
                        yield batch
                async for read in self._read(connection):
                    yield read
        except OffsetsGoneError:
            pass
        except KafkaUnavailableError as error:
            self.trouble = str(error)
            yield None
            await asyncio.sleep(_RETRY_S)
        finally:
            await asyncio.shield(connection.close())

    async def _begin(self, connection: Reader, most_behind: int | None) -> Sequence[Batch]:
        """Where it really goes on from, with what lies between there and where it was."""
        bounds = await connection.bounds()
        found = placed(self.positions, bounds) if most_behind is None else placed(self.positions, bounds, most_behind)
        told: Sequence[Loss] = losses_of(found, self._live.sources.now(), await self._behind_since(connection, found))
        moved = []
        for partition, offset in found.positions.items():
            if told or offset != self.positions.get(partition, 0):
                moved.append(Batch(partition, offset, moved=True, losses=told))
                told = ()
        # Partitions that the topic does not have are never read.
        self.positions = {p: self.positions.get(p, offset) for p, offset in found.positions.items()}
        await self._look_back(connection, bounds, found.positions)
        connection.start(found.positions)
        return moved

    async def _look_back(self, connection: Reader, bounds: Bounds, positions: Vector) -> None:
        """Notes what came just before: what comes after it may repeat some of it. As far as it is read in time."""
        back = _LOOKED_BACK // max(len(bounds), 1)
        starts = {p: max(bounds[p][0], offset - back) for p, offset in positions.items()}
        waiting = {partition for partition, offset in positions.items() if starts[partition] < offset}
        connection.start(starts)
        until_s = self._live.turns.now_s() + _LOOK_S
        while waiting and self._live.turns.now_s() < until_s:
            for part in await connection.fetch(_FETCH_WAIT_S):
                async for events, next_offset in in_turns(part, self._live.sources.decoder, self._live.turns):
                    self._live.places.note([event for event in events if event.offset < positions[part.partition]])
                    if next_offset >= positions[part.partition]:
                        waiting.discard(part.partition)

    async def _behind_since(self, connection: Reader, found: Placed) -> int | None:
        """When the first of what is passed over was appended; None where Kafka does not say in time."""
        if not found.behind:
            return None
        connection.start(found.passed_from)
        appended_us: dict[int, int] = {}
        until_s = self._live.turns.now_s() + _LOOK_S
        while self._live.turns.now_s() < until_s and appended_us.keys() < found.passed_from.keys():
            for fetched in await connection.fetch(_FETCH_WAIT_S):
                if fetched.records:
                    appended_us.setdefault(fetched.partition, fetched.records[0].timestamp * 1000)
        return min(appended_us.values(), default=None)

    def _arrived(self) -> bool:
        self.reader = self._live.ring.join_at(self.positions)
        return self.reader is not None

    async def _read(self, connection: Reader) -> AsyncGenerator[Batch | None]:
        self.trouble = None
        fetched = await connection.fetch(_FETCH_WAIT_S)
        if not fetched:
            yield None
        for part in fetched:
            async for events, next_offset in in_turns(part, self._live.sources.decoder, self._live.turns):
                self._live.places.note(events)
                yield Batch(part.partition, next_offset, events)
