"""Takes exports, says how they stand, begins to send their files, and cancels them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from query_api.completeness import Completeness, Lag
from query_api.exports.answers import export_body
from query_api.exports.chunks import Chunk, Sending, StoredExport
from query_api.exports.export_metrics import ExportMetrics, Outcome
from query_api.exports.export_store import CANCELLED, CancelledExportError, ExportStore
from query_api.exports.files import writer_for
from query_api.exports.request import ExportRequest
from query_api.exports.sending import ChangedError, FileMaker
from query_api.exports.store_sql import RUNNING
from query_api.parameters import refuse
from query_api.positions import StoredUntil
from threatlog.process.problems import Problem

# A part is a file of its own, so it is what is sent again after an interruption; and pieces are its row groups.
CHUNKS_PER_PART: Final = 8
_BUSY_RETRY_AFTER_S: Final = 5


class LagView(Protocol):
    """What is known about completeness without asking anyone."""

    def completeness(self, stored_until_us: StoredUntil) -> Completeness: ...
    def lag(self) -> Lag: ...


@dataclass(slots=True)
class OpenFile:
    """A file whose first piece is made: what is left is to send it, and to say how that ended."""

    export: StoredExport
    first: bytes
    rest: AsyncGenerator[bytes]
    maker: FileMaker
    begins_at: Chunk | None


@dataclass(slots=True)
class ExportService:
    """Raises Problem, and what the store raises. `most` answers with a file at once; further ones are told to wait."""

    store: ExportStore
    lag: LagView
    metrics: ExportMetrics
    most: int
    now_s: Callable[[], float]
    stopping: Callable[[], bool]
    # Few threads for all: each keeps memory of its own for the next piece.
    _encoders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "export"), init=False)
    _sent: int = field(default=0, init=False)

    async def create(self, request: ExportRequest, caller: str) -> tuple[str, bytes]:
        """A new export: its id, and how it stands."""
        identifier = secrets.token_urlsafe(16)
        await self.store.create(identifier, request, caller)
        return identifier, self._body(await self.find(identifier))

    async def find(self, identifier: str) -> StoredExport:
        """The export with this id. Raises Problem 404."""
        export = await self.store.find(identifier)
        if export is None:
            raise Problem(404, "export_not_found", f"there is no export {identifier[:80]!r}; it is kept for 7 days")
        return export

    async def status(self, identifier: str) -> bytes:
        """How an export stands."""
        return self._body(await self.find(identifier))

    async def cancel(self, identifier: str, caller: str) -> bytes:
        """Ends an export for good, whoever sends it; again, changes nothing."""
        export = await self.find(identifier)
        if export.status != CANCELLED:
            await self.store.finish(identifier, caller, CANCELLED, _reach(export.last))
        return await self.status(identifier)

    async def open(self, identifier: str, from_byte: int, part: int | None) -> OpenFile:
        """Makes the first piece, so that trouble is an answer of its own. `close` must follow."""
        if self.stopping():
            raise Problem(503, "stopping", "this process is stopping; another one may send the export")
        if self._sent >= self.most:
            detail = f"this process sends {self._sent} exports already, the most it may (query.max_exports)"
            raise Problem(503, "too_many_exports", detail, _BUSY_RETRY_AFTER_S)
        self._sent += 1
        self.metrics.running.inc()
        try:
            return await self._opened(await self._sending(identifier, from_byte, part))
        except BaseException:
            self._release()
            raise

    async def _sending(self, identifier: str, from_byte: int, part: int | None) -> Sending:
        export = await self.find(identifier)
        if export.status == CANCELLED:
            raise _cancelled()
        if export.request.format == "parquet":
            if from_byte:
                accepted = "0 for Parquet, whose files cannot be continued; ask for parts, `part=0` and so on"
                raise refuse("from_byte", accepted, str(from_byte))
            return await self._part(export, part)
        if part is not None:
            raise refuse("part", "nothing but for Parquet; `from_byte` goes on with other files", str(part))
        if from_byte > (0 if export.last is None else export.last.file_bytes):
            known = 0 if export.last is None else export.last.file_bytes
            raise _changed(f"only {known} bytes of this export were ever sent", known)
        before = await self.store.chunk_before(identifier, from_byte) if from_byte else None
        return Sending(export, before, from_byte - (0 if before is None else before.file_bytes))

    async def _part(self, export: StoredExport, part: int | None) -> Sending:
        """Parts are asked for in order: each begins where the one before it ended."""
        if not part:
            return Sending(export, None, most_chunks=None if part is None else CHUNKS_PER_PART)
        last = -1 if export.last is None else export.last.number
        begins_after = part * CHUNKS_PER_PART - 1
        if export.last is not None and export.last.is_last and begins_after >= last:
            raise Problem(
                404, "no_such_part", f"the export has {parts_of(export)} parts, numbered from 0; it is complete"
            )
        before = await self.store.chunk(export.id, begins_after)
        if before is None:
            raise Problem(409, "part_not_reached", f"part {part} begins where part {part - 1} ends: ask for that first")
        return Sending(export, before, most_chunks=CHUNKS_PER_PART)

    async def _opened(self, sending: Sending) -> OpenFile:
        request, before = sending.export.request, sending.before
        if before is not None and before.is_last:
            return OpenFile(sending.export, b"", _nothing(), self._maker(sending), before)
        maker = self._maker(sending)
        rest = maker.pieces()
        try:
            first = await anext(rest)
        except ChangedError:
            await rest.aclose()
            known = 0 if before is None else before.file_bytes
            raise _changed("events came late into the time of its last piece", known) from None
        except CancelledExportError:
            raise _cancelled() from None
        assert request.format != "parquet" or not sending.skip
        return OpenFile(sending.export, first, rest, maker, before)

    def _maker(self, sending: Sending) -> FileMaker:
        return FileMaker(self.store, sending, writer_for(sending.export.request), self.now_s, self._encoders)

    async def close(self, opened: OpenFile, caller: str, outcome: Outcome, detail: Mapping[str, object]) -> None:
        """Notes how sending ended; `detail` says what went wrong and what was asked for."""
        try:
            await opened.rest.aclose()
            sent = opened.maker.last
            self.metrics.rows.inc(
                (sent.file_rows if sent else 0) - (opened.begins_at.file_rows if opened.begins_at else 0)
            )
            self.metrics.ended(outcome)
            status = RUNNING if outcome == "completed" and sent is not None and not sent.is_last else outcome
            await self.store.finish(opened.export.id, caller, status, {**_reach(sent), **detail})
        finally:
            self._release()

    def _release(self) -> None:
        self._sent -= 1
        self.metrics.running.dec()

    def _body(self, export: StoredExport) -> bytes:
        complete = self.lag.completeness(export.stored_until_us)
        return export_body(export, complete, self.lag.lag(), parts_of(export))


def parts_of(export: StoredExport) -> int:
    """How many files of Parquet it has so far."""
    if export.last is None or export.request.format != "parquet":
        return 0
    return export.last.number // CHUNKS_PER_PART + 1


async def _nothing() -> AsyncGenerator[bytes]:
    yield b""


def _reach(last: Chunk | None) -> dict[str, object]:
    return {"rows": _rows_of(last), "bytes": 0 if last is None else last.file_bytes}


def _rows_of(last: Chunk | None) -> int:
    return 0 if last is None else last.file_rows


def _cancelled() -> Problem:
    return Problem(410, "export_cancelled", "the export was cancelled")


def _changed(why: str, resume_at: int) -> Problem:
    detail = f"{why}: cut your file to {resume_at} bytes (`truncate -s {resume_at}`) and ask for the rest from there"
    return Problem(409, "export_changed", detail, extra={"resume_at": resume_at})
