"""Makes an export's file piece by piece while it is sent, and makes pieces again that were sent before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from query_api.exports.chunks import Chunk, Found, Sending, StoredExport, digest_of
from query_api.exports.export_store import ExportStore
from query_api.exports.files import FileWriter
from query_api.exports.span import Span, whole
from query_api.exports.walk import Slice, Walk
from query_api.reading import QueryTimeoutError, StoreUnavailableError

# How large a piece is, about; two of each answer are in memory.
CHUNK_BYTES: Final = 4 * 1024 * 1024
# A search that finds little sends what it has, and notes how far it came.
_CHUNK_S: Final = 2.0
# How long PostgreSQL may be away in the middle of a file, and how often it is asked then.
_PATIENCE_S: Final = 30.0
_RETRY_S: Final = 0.25
Answer = TypeVar("Answer")


class RemadeError(Exception):
    """The file cannot go on as it began."""


class ChangedError(Exception):
    """A piece that was sent in part comes out otherwise now: other events came into its time."""


class Clock(Protocol):
    """Seconds that only go forward."""

    def __call__(self) -> float: ...


class FileMaker:
    """The pieces of one answer, in order. While one is sent, the next one is read: never more than these two."""

    def __init__(
        self, store: ExportStore, sending: Sending, writer: FileWriter, now_s: Clock, encoders: Executor
    ) -> None:
        self._store = store
        self._export: StoredExport = sending.export
        self._sending = sending
        self._writer = writer
        self._now_s = now_s
        self._encoders = encoders
        self._walk = Walk(sending.export.request, CHUNK_BYTES, now_s)
        self.last = sending.before

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The bytes to send. Raises what the store raises, RemadeError, and ChangedError before the first.

        1. The next piece is read while this one is encoded, remembered and sent.
        2. It is remembered before it is sent: of every byte that went out it is known how to make it again.
        """
        request = self._export.request
        span = whole(request.filter, newest_first=request.newest_first)
        before, skip = self._sending.before, self._sending.skip
        ahead = self._begin(before, span, patience_s=0.0)
        try:
            while True:
                found, known = await ahead
                number = 0 if before is None else before.number + 1
                is_end = found.is_last or self._is_enough(number)
                if not is_end:  # 1
                    ahead = self._begin(None, span.behind(found.reached), _PATIENCE_S, number + 1)
                chunk, data = await self._in_thread(partial(self._encoded, found, before))
                if known is None or known.digest != chunk.digest:
                    if skip:
                        raise ChangedError
                    await self._remember(chunk, before)  # 2
                before = self.last = chunk
                del found  # while it is sent, only its bytes are kept
                if data[skip:]:
                    yield data[skip:]
                skip = 0
                if is_end:
                    break
            yield await self._in_thread(self._writer.end)
        finally:
            ahead.cancel()

    async def _in_thread(self, make: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._encoders, make)

    def _is_enough(self, number: int) -> bool:
        most, before = self._sending.most_chunks, self._sending.before
        return most is not None and number + 1 - (0 if before is None else before.number + 1) >= most

    def _begin(
        self, before: Chunk | None, span: Span, patience_s: float, number: int | None = None
    ) -> asyncio.Task[tuple[Found, Chunk | None]]:
        if before is not None:
            span, number = span.behind(before.reached), before.number + 1
        return asyncio.get_running_loop().create_task(self._read(number or 0, span, patience_s))

    async def _read(self, number: int, span: Span, patience_s: float) -> tuple[Found, Chunk | None]:
        """The piece with this number; one that was sent before is what lies between the same places."""
        known = await self._patiently(lambda: self._store.chunk(self._export.id, number), patience_s)
        found = await self._found(span if known is None else span.up_to(known.reached), known is not None, patience_s)
        if known is not None:
            is_last = span.behind(found.reached).is_empty
            found = Found(found.slices, found.rows, found.reached, is_last)
        return found, known

    async def _found(self, span: Span, is_known: bool, patience_s: float) -> Found:
        """Slices until there is a piece: enough bytes, or enough time spent; one that is known, all of it."""
        latest_s = self._now_s() + _CHUNK_S
        slices: list[Any] = []
        rows = size_bytes = 0
        while True:
            room_bytes = CHUNK_BYTES if is_known else CHUNK_BYTES - size_bytes
            part = await self._slice(span, room_bytes, patience_s)
            if part.rows:
                slices.append(part.row)
            rows += part.rows
            size_bytes += part.size_bytes
            is_enough = size_bytes >= CHUNK_BYTES or self._now_s() >= latest_s
            if part.is_last or (is_enough and not is_known) or size_bytes > 4 * CHUNK_BYTES:
                return Found(slices, rows, part.reached, part.is_last)
            span = span.behind(part.reached)

    async def _slice(self, span: Span, room_bytes: int, patience_s: float) -> Slice:
        async def look() -> Slice:
            async with self._store.snapshot() as snapshot:
                return await self._walk.slice(snapshot, span, room_bytes)

        while True:
            try:
                return await self._patiently(look, patience_s)
            except QueryTimeoutError:
                if not self._walk.was_slow():
                    raise

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]], patience_s: float) -> Answer:
        """Asks until PostgreSQL answers: a restart in the middle only makes a file late."""
        latest_s = self._now_s() + patience_s
        while True:
            try:
                return await ask()
            except StoreUnavailableError:
                if self._now_s() >= latest_s:
                    raise
            await asyncio.sleep(_RETRY_S)

    def _encoded(self, found: Found, before: Chunk | None) -> tuple[Chunk, bytes]:
        content = self._writer.content(found, is_first=before is None)
        data = self._writer.encoded(content, found)
        chunk = Chunk(
            0 if before is None else before.number + 1,
            len(data) + (0 if before is None else before.file_bytes),
            found.rows + (0 if before is None else before.file_rows),
            found.reached,
            digest_of(content, before),
            found.is_last,
        )
        return chunk, data

    async def _remember(self, chunk: Chunk, before: Chunk | None) -> None:
        alive = await self._patiently(lambda: self._store.record(self._export.id, chunk, before), _PATIENCE_S)
        if not alive:
            await self._store.chunk(self._export.id, chunk.number)
            raise RemadeError("another request has begun to make the file anew")
