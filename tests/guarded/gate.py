"""Ends TLS in front of a server that has none, as stunnel does; in front of PostgreSQL as PostgreSQL itself does.

The PostgreSQL and the Redis of the wheels are built without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from types import TracebackType
from typing import Self

from tests.guarded.certificates import HOST

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)


class Gate:
    """Listens from `with` on, in a thread of its own; `plain_attempts` counts who came to PostgreSQL without TLS."""

    def __init__(self, upstream_port: int, context: ssl.SSLContext, *, postgres: bool = False) -> None:
        self._upstream_port = upstream_port
        self._context = context
        self._postgres = postgres
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.plain_attempts = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        # A client that turns the certificate down is what the tests are about, not a fault of the gate.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        context = None if self._postgres else self._context
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=context)
        return int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if not self._postgres or await self._encrypted(reader, writer):
                await self._join(reader, writer)
        writer.close()

    async def _encrypted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if await reader.readexactly(8) != _SSL_REQUEST:
            self.plain_attempts += 1
            fields = b"SFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"
            writer.write(b"E" + struct.pack(">i", len(fields) + 4) + fields)
            await writer.drain()
            return False
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(self._context)
        return True

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(HOST, self._upstream_port)
        try:
            await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
        finally:
            upstream_writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()
