"""One tail: what its client is sent, piece by piece, from its first byte on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from query_api.tail import frames
from query_api.tail.catch_up import CatchUp
from query_api.tail.figures import TailFigures
from query_api.tail.live_log import LiveLog
from query_api.tail.losses import Loss
from query_api.tail.request import TailRequest
from query_api.tail.ring import Batch, RingReader
from query_api.tail.vector import Vector

# While nothing else is sent: positions, where they moved, and comments, so that nobody on the way takes it for dead.
POSITION_EVERY_S: Final = 2.0
KEEP_ALIVE_EVERY_S: Final = 10.0
_WAIT_S: Final = 0.5
# A piece is sent once it has so many bytes; an event is never divided.
_PIECE_BYTES: Final = 64 * 1024


class Session:
    """Over one live log. `catching_up` bounds how many read on their own at once."""

    def __init__(
        self, request: TailRequest, live: LiveLog, catching_up: asyncio.Semaphore, figures: TailFigures
    ) -> None:
        self._request = request
        self._with_attributes = request.asks_for_attributes
        self._live = live
        self._catching_up = catching_up
        self._figures = figures
        self._told_trouble: str | None = None
        self._told_positions: Vector = {}
        self._sent_s = live.turns.now_s()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Frames without an end. Whoever is slow to take them is told what was skipped meanwhile."""
        yield frames.RECONNECT
        with self._live.in_use():
            reader: RingReader | None = None
            after = self._request.after
            async with aclosing(self._begun() if after is None else self._caught_up(after)) as beginning:
                async for piece in beginning:
                    if isinstance(piece, RingReader):
                        reader = piece
                    else:
                        yield piece
            assert reader is not None
            try:
                async with aclosing(self._followed(reader)) as following:
                    async for piece in following:
                        reader.is_at_work = False
                        yield piece
                        reader.is_at_work = True
            finally:
                reader.leave()

    async def _begun(self) -> AsyncGenerator[bytes | RingReader]:
        """From now on."""
        while not await self._live.known_within(_WAIT_S):
            for piece in self._pulse({}, self._live.trouble):
                yield piece
        reader = self._live.ring.join_now()
        yield self._position(reader.positions)
        yield reader

    async def _caught_up(self, after: Vector) -> AsyncGenerator[bytes | RingReader]:
        """From where the client was on."""
        way = CatchUp(self._live, self._catching_up, after)
        yield self._position(way.positions)
        async with aclosing(way.batches()) as batches:
            async for batch in batches:
                if batch is not None:
                    async for piece in self._selected(batch, way.positions):
                        yield piece
                    for piece in self._losses(batch.losses, way.positions):
                        yield piece
                for piece in self._pulse(way.positions, way.trouble or self._live.trouble):
                    yield piece
        assert way.reader is not None
        yield way.reader

    async def _followed(self, reader: RingReader) -> AsyncGenerator[bytes]:
        while True:
            batch = reader.take()
            for piece in self._losses(reader.take_skipped(), reader.positions):
                yield piece
            if batch is None:
                for piece in self._pulse(reader.positions, self._live.trouble):
                    yield piece
                await reader.wait(_WAIT_S)
                continue
            async for piece in self._selected(batch, reader.positions):
                yield piece
            for piece in self._losses(batch.losses, reader.positions):
                yield piece
            for piece in self._pulse(reader.positions, self._live.trouble):
                yield piece

    async def _selected(self, batch: Batch, positions: dict[int, int]) -> AsyncGenerator[bytes]:
        """The wanted ones of its events; then `positions` are behind it."""
        events, done = batch.events, 0
        now_s = self._live.turns.now_s
        before = 0 if batch.moved else positions.get(batch.partition, 0)
        ids: frames.LogIds | None = None
        while done < len(events):
            piece: list[bytes] = []
            size = 0
            async with self._live.turns.one() as pause_at_s:
                while done < len(events) and size < _PIECE_BYTES:
                    event = events[done]
                    done += 1
                    if event.offset >= before:
                        wanted = self._request.selects(event, with_attributes=self._with_attributes)
                        if wanted and not self._live.places.is_repeat(event, positions):
                            ids = ids or frames.LogIds(positions, batch.partition)
                            piece.append(ids.frame(event.offset, event.line()))
                            size += len(piece[-1])
                        positions[batch.partition] = event.offset + 1
                    if now_s() >= pause_at_s:
                        break
            if piece:
                self._figures.sent(len(piece))
                self._told_positions = dict(positions)
                yield self._sent(b"".join(piece))
        positions[batch.partition] = max(before, batch.next_offset)

    def _losses(self, losses: Sequence[Loss], positions: Vector) -> list[bytes]:
        for loss in losses:
            self._figures.skipped(loss)
        return [self._sent(frames.skipped(loss, positions)) for loss in losses]

    def _pulse(self, positions: Vector, trouble: str | None) -> list[bytes]:
        """What is due though no event came: a change of the trouble, the positions, or a sign of life."""
        if trouble != self._told_trouble:
            self._told_trouble = trouble
            return [self._sent(frames.trouble(trouble))]
        silent_s = self._live.turns.now_s() - self._sent_s
        if silent_s >= POSITION_EVERY_S and positions != self._told_positions:
            return [self._position(positions)]
        return [self._sent(frames.KEEP_ALIVE)] if silent_s >= KEEP_ALIVE_EVERY_S else []

    def _position(self, positions: Vector) -> bytes:
        self._told_positions = dict(positions)
        return self._sent(frames.position(positions))

    def _sent(self, piece: bytes) -> bytes:
        self._sent_s = self._live.turns.now_s()
        return piece
