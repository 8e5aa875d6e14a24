"""A TCP proxy between a process and a server that does to connections what networks do, and counts how often it did."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from tests.faults.tcp_faults import (
    Applied,
    Bandwidth,
    BlackHole,
    Direction,
    DropReply,
    Fault,
    Latency,
    LimitData,
    Reset,
    Slicer,
    SlowClose,
)
from threatlog.embedded.ports import LOOPBACK

_PIECE_BYTES = 64 * 1024
_CALL_TIMEOUT_S = 10.0


class TcpProxy:
    """Listens on a port of its own and connects to `upstream_port`. Its loop runs in a thread of its own.

    `apply` and `clear` may be called at any time and hold for connections that exist as well.
    """

    def __init__(self, upstream_port: int, rng: random.Random) -> None:
        self.port = 0
        self.struck: Counter[str] = Counter()
        self._upstream_port = upstream_port
        self._rng = rng
        self._applied: tuple[Applied, ...] = ()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._listener: socket.socket | None = None
        self._links: set[_Link] = set()
        self._accepting: set[asyncio.Task[Any]] = set()
        # Also those that were closed: one whose last bytes nobody takes lives on without its writer.
        self._transports: set[asyncio.WriteTransport] = set()

    def start(self) -> None:
        """Begins to listen."""
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        """Ends everything."""
        self._call(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    def apply(self, *applied: Applied) -> None:
        """These faults and no others, from now on."""
        self._applied = applied

    def clear(self) -> None:
        """No faults."""
        self._applied = ()

    def down(self) -> None:
        """Connections are refused, and those that exist are reset."""
        self._call(self._close())
        self.struck["down"] += 1

    def up(self) -> None:
        """The opposite of `down`, on the same port."""
        self._call(self._listen())

    def reset_all(self) -> None:
        """Resets every connection that exists."""
        self._call(self._reset_all())

    def links(self) -> int:
        """Connections that pass bytes on in a direction at least."""
        return len(self._links)

    def unsent_bytes(self) -> int:
        """What waits for somebody to take it."""
        return sum(transport.get_write_buffer_size() for transport in self._transports)

    def faults(self, direction: Direction) -> Iterator[Fault]:
        """Those that strike this piece."""
        for applied in self._applied:
            if applied.direction is direction and self._rng.random() < applied.probability:
                yield applied.fault

    def uniform(self, most: float) -> float:
        """A random amount of what varies."""
        return self._rng.uniform(0, most)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(_CALL_TIMEOUT_S)

    async def _listen(self) -> None:
        """Takes connections itself: the server of Python 3.11 leaves one open that it took just before its end."""
        self._listener = socket.create_server((LOOPBACK, self.port))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._take, self._listener)

    def _take(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            taken, _ = listener.accept()
            taken.setblocking(False)
            task = self._loop.create_task(self._accept(taken))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    async def _close(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._reset_all()

    async def _finish(self) -> None:
        """Waits for what is under way, and ends what nobody reads from, or its sockets would be left open."""
        await self._close()
        async with asyncio.timeout(_CALL_TIMEOUT_S / 2):
            # Also of a connection that was taken just now, and is not known to us yet.
            while others := self._abort_all():
                await asyncio.wait(others, timeout=0.05)
        # Transports end in later turns of the loop; on a busy machine a time says nothing of those.
        for _ in range(10):
            await asyncio.sleep(0)

    def _abort_all(self) -> set[asyncio.Task[Any]]:
        """Ends every connection that is known, also those whose tasks have ended; the tasks that have not."""
        for transport in self._transports:
            transport.abort()
        return asyncio.all_tasks() - {asyncio.current_task()}

    async def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()
            self.struck["Reset"] += 1

    async def _accept(self, taken: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, taken)
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        self._transports.add(writer.transport)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(LOOPBACK, self._upstream_port)
        except OSError:
            _abort(writer)
            return
        self._transports.add(upstream_writer.transport)
        link = _Link(self, (reader, writer), (upstream_reader, upstream_writer))
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


_Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: TcpProxy, client: _Side, server: _Side) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._drops_next_reply = False
        self._passed: Counter[Direction] = Counter()

    async def run(self) -> None:
        """Returns when both directions have ended."""
        pumps: Sequence[asyncio.Task[None]] = [
            asyncio.create_task(self._pump(Direction.UP, self._client[0], self._server[1])),
            asyncio.create_task(self._pump(Direction.DOWN, self._server[0], self._client[1])),
        ]
        await asyncio.gather(*pumps, return_exceptions=True)
        for _, writer in (self._client, self._server):
            writer.close()

    def reset(self) -> None:
        """Ends both with RST."""
        for _, writer in (self._client, self._server):
            _abort(writer)

    async def _pump(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, _LinkEnded):
            while piece := await reader.read(_PIECE_BYTES):
                await self._pass(direction, piece, writer)
            for fault in self._proxy.faults(direction):
                if isinstance(fault, SlowClose):
                    self._note(fault)
                    await asyncio.sleep(fault.delay_s)
            if writer.can_write_eof():
                writer.write_eof()

    async def _pass(self, direction: Direction, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if direction is Direction.DOWN and self._drops_next_reply:
            self._proxy.struck["DropReply"] += 1
            self.reset()
            raise _LinkEnded
        pieces = [piece]
        pause_s = 0.0
        for fault in self._proxy.faults(direction):
            if isinstance(fault, Slicer):
                self._note(fault)
                pieces = [piece[n : n + fault.size_bytes] for n in range(0, len(piece), fault.size_bytes)]
                pause_s = fault.pause_s
            elif not await self._survives(fault, direction, piece, writer):
                return
        for part in pieces:
            writer.write(part)
            await writer.drain()
            if pause_s:
                await asyncio.sleep(pause_s)
        self._passed[direction] += len(piece)

    async def _survives(self, fault: Fault, direction: Direction, piece: bytes, writer: asyncio.StreamWriter) -> bool:
        """Does what the fault does; whether the piece is to be passed on."""
        if isinstance(fault, DropReply):
            if fault.request in piece:
                self._drops_next_reply = True
        elif isinstance(fault, LimitData):
            if self._passed[direction] + len(piece) > fault.max_bytes:
                self._note(fault)
                writer.write(piece[: fault.max_bytes - self._passed[direction]])
                self._client[1].close()
                raise _LinkEnded
        elif isinstance(fault, Reset):
            self._note(fault)
            self.reset()
            raise _LinkEnded
        else:
            if not isinstance(fault, SlowClose):
                self._note(fault)
            await asyncio.sleep(self._delay_s(fault, len(piece)))
        return not isinstance(fault, BlackHole)

    def _delay_s(self, fault: Fault, size_bytes: int) -> float:
        if isinstance(fault, Latency):
            return fault.delay_s + self._proxy.uniform(fault.jitter_s)
        return size_bytes / fault.bytes_per_s if isinstance(fault, Bandwidth) else 0.0

    def _note(self, fault: Fault) -> None:
        self._proxy.struck[type(fault).__name__] += 1


class _LinkEnded(Exception):  # noqa: N818 - no error: the fault did it
    """Nothing more passes in this direction."""


def _abort(writer: asyncio.StreamWriter) -> None:
    """Closes with RST, as a host that lost its memory does."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def proxied(upstream_port: int, rng: random.Random) -> Iterator[TcpProxy]:
    """A proxy that runs inside the block."""
    proxy = TcpProxy(upstream_port, rng)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


ProxyMaker = Callable[[int], TcpProxy]
