"""The answer with an export's file: sent as fast as it is read, and broken off visibly where it cannot go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import Response

from query_api.departure import disconnected
from query_api.exports.chunks import StoredExport
from query_api.exports.export_metrics import Outcome
from query_api.exports.export_service import ExportService, OpenFile
from query_api.exports.export_store import CancelledExportError
from query_api.exports.sending import RemadeError
from query_api.reading import QueryTimeoutError, StoreUnavailableError
from threatlog.process.http_ending import BREAK_OFF
from threatlog.process.http_metrics import Receive, Scope, Send

_PIECE_BYTES: Final = 256 * 1024
# So often it is seen whether this process is to end.
_LOOK_S: Final = 1.0
_STOPPING: Final = "the process that sent it is stopping; ask another one for the rest"
# How an answer ended is noted within this time, also at a stop.
_NOTE_S: Final = 2.0
log = logging.getLogger(__name__)


class _BrokenOff(Exception):  # noqa: N818 - it is no error of anyone
    """Nothing more can be sent of this answer; the text says why."""


class FileAnswer(Response):
    """A 200 without a length. Only a file that is whole ends as an answer ends: otherwise the connection breaks."""

    def __init__(self, service: ExportService, opened: OpenFile, caller: str, asked: dict[str, object]) -> None:
        super().__init__(headers=headers_of(opened.export))
        del self.headers["content-length"]
        self._service = service
        self._opened = opened
        self._caller = caller
        self._asked = asked
        self._is_noted = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Sends the file."""
        outcome: Outcome = "interrupted"
        why: str | None = "the process that sent it ended; ask for the rest"
        sending = asyncio.create_task(self._send(send))
        try:
            await self._until_sent(sending, receive)
            outcome, why = "completed", None
        except _BrokenOff as error:
            why = str(error)
        except CancelledExportError:
            outcome, why = "cancelled", None
        except (StoreUnavailableError, QueryTimeoutError, RemadeError) as error:
            why = str(error)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
            if outcome != "completed":
                await send({"type": BREAK_OFF})
                await self._note(outcome, why)

    async def _until_sent(self, sending: asyncio.Task[None], receive: Receive) -> None:
        """At a stop the piece that is being sent may be ended, but not if its reader takes long."""
        gone = asyncio.create_task(disconnected(receive))
        is_stopping = False
        try:
            while not sending.done():
                await asyncio.wait({sending, gone}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and not sending.done():
                    raise _BrokenOff("the reader closed the connection")
                if is_stopping and not sending.done():
                    raise _BrokenOff(_STOPPING)
                is_stopping = self._service.stopping()
            await sending
        finally:
            gone.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for data in _chained(self._opened):
            for start in range(0, len(data), _PIECE_BYTES):
                piece = data[start : start + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                self._service.metrics.bytes.inc(len(piece))
            if self._service.stopping():
                raise _BrokenOff(_STOPPING)
        # Before the end: who has the whole file is told that it is whole.
        await self._note("completed", None)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _note(self, outcome: Outcome, why: str | None) -> None:
        """Once: what was sent whole, and could not be ended, was sent whole."""
        if self._is_noted:
            return
        self._is_noted = True
        detail = {**self._asked, **({} if why is None else {"reason": why})}
        try:
            async with asyncio.timeout(_NOTE_S):
                await self._service.close(self._opened, self._caller, outcome, detail)
        except (StoreUnavailableError, QueryTimeoutError, TimeoutError) as error:
            log.warning(
                "how an export ended cannot be noted", extra={"export": self._opened.export.id, "why": str(error)}
            )


def headers_of(export: StoredExport) -> dict[str, str]:
    """What every answer with this file says of it."""
    name = f"threatlog-{export.id}{export.request.suffix}"
    return {
        "Content-Type": export.request.media_type,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }


async def _chained(opened: OpenFile) -> AsyncIterator[bytes]:
    yield opened.first
    async for data in opened.rest:
        yield data
