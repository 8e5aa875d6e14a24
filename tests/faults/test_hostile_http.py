"""Rows D5 to D8: bombs, endless bodies, huge heads, and hundreds of senders who never come to an end."""

from __future__ import annotations

import asyncio
import gzip
import io
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import psutil
import pytest
import zstandard

from tests.faults.intensity import Intensity, row
from tests.integration.ingest_gateway.gateway_process import Gateway, start_gateway
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.no_database, pytest.mark.timeout(300)]
BATCH = "/api/v1/logs/ingest/batch"
MAX_GROWTH_BYTES = 32 << 20
MAX_CPU_S = 0.5
# Header time-out 5 s, idle 15 s, body 30 s, and a little for two busy cores.
CLOSED_WITHIN_S = 35.0
EVENT = {"severity": "LOW", "source": "honest", "message": "m"}


@pytest.fixture
def gateway(stack: Stack, spawn: Spawner) -> Gateway:
    """One that is ready, and has answered a request before."""
    made = start_gateway(stack, spawn)
    made.process.wait_http(f"{made.url}/readyz")
    made.batch(EVENT)
    return made


@dataclass(slots=True)
class Cost:
    """What a request cost the gateway."""

    growth_bytes: int = 0
    cpu_s: float = 0.0


@asynccontextmanager
async def measured(gateway: Gateway) -> AsyncIterator[Cost]:
    """The most memory above what it had, looked at every 10 ms, and the CPU time."""
    process, cost = psutil.Process(gateway.process.child.pid), Cost()
    before, times = process.memory_info().rss, process.cpu_times()

    async def watch() -> None:
        while True:
            cost.growth_bytes = max(cost.growth_bytes, process.memory_info().rss - before)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield cost
    finally:
        watching.cancel()
        now = process.cpu_times()
        cost.cpu_s = now.user + now.system - times.user - times.system


def zeros(size_bytes: int) -> Iterator[bytes]:
    """So many, in pieces."""
    piece = bytes(1 << 20)
    for _ in range(size_bytes >> 20):
        yield piece


def gzip_bomb(size_bytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(piece) for piece in zeros(size_bytes)), packer.flush()])


def zstd_bomb(size_bytes: int) -> bytes:
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        for piece in zeros(size_bytes):
            writer.write(piece)
    return out.getvalue()


async def posted(gateway: Gateway, body: bytes, encoding: str) -> int:
    """The status of a compressed batch."""
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}{BATCH}", data=body, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status


@row("D5")
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_is_refused_at_little_cost(gateway: Gateway, intensity: Intensity, encoding: str) -> None:
    size = intensity.pick(1 << 30, 10 << 30)
    bomb = await asyncio.to_thread(gzip_bomb if encoding == "gzip" else zstd_bomb, size)
    async with measured(gateway) as cost:
        status = await posted(gateway, bomb, encoding)
    assert status == 413
    assert cost.growth_bytes <= MAX_GROWTH_BYTES
    assert cost.cpu_s <= MAX_CPU_S
    intensity.saw(
        f"{size >> 30} GiB of zeros in {len(bomb) >> 10} KiB of {encoding}: {status},"
        f" {cost.growth_bytes >> 20} MiB and {cost.cpu_s:.2f} s of CPU"
    )


@row("D5")
@pytest.mark.parametrize(
    ("name", "status"),
    [("br", 415), ("deflate", 415), ("gzip, gzip", 415), ("nested", 400), ("cut", 400), ("tail", 400), ("false", 400)],
)
async def test_what_is_not_as_its_encoding_says_is_refused(
    gateway: Gateway, intensity: Intensity, name: str, status: int
) -> None:
    whole = gzip.compress(b'{"logs": []}')
    body = {"nested": gzip.compress(whole), "cut": whole[:-4], "tail": whole + b"more", "false": b"{}"}.get(name, whole)
    found = await posted(gateway, body, name if status == 415 else "gzip")
    assert found == status
    intensity.saw(f"{name}: {found}")


async def raw(gateway: Gateway, *pieces: bytes) -> bytes:
    """What comes back for bytes as they are, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer


@row("D6")
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("200 MB", 413),
        ("200 MB in chunks", 413),
        ("a head of 2 MB", 431),
        ("10,000 headers", 431),
        ("a URL of 100 KB", 414),
    ],
)
async def test_what_is_too_large_is_refused_while_it_comes(
    gateway: Gateway, intensity: Intensity, name: str, status: int
) -> None:
    head = b"POST " + BATCH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    megabyte = bytes(1 << 20)
    pieces = {
        "200 MB": [head + b"content-length: 209715200\r\n\r\n", *[megabyte] * 200],
        "200 MB in chunks": [head + b"transfer-encoding: chunked\r\n\r\n", *[b"100000\r\n" + megabyte + b"\r\n"] * 200],
        "a head of 2 MB": [head + b"x: " + b"y" * (2 << 20) + b"\r\n\r\n"],
        "10,000 headers": [head + b"".join(b"x-%d: y\r\n" % n for n in range(10_000)) + b"\r\n"],
        "a URL of 100 KB": [b"GET /?" + b"q" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
    }[name]
    async with measured(gateway) as cost:
        answer = await raw(gateway, *pieces)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:80]
    assert cost.growth_bytes <= MAX_GROWTH_BYTES
    intensity.saw(f"{name}: {status}, {cost.growth_bytes >> 20} MiB")


async def trickle(gateway: Gateway, kind: str, closed_s: list[float]) -> None:
    """One connection that sends a byte now and then, or nothing, until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    began = time.monotonic()
    head = b"POST " + BATCH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    if kind == "body":
        writer.write(head + b"content-length: 100000\r\n\r\n")
    ended = asyncio.create_task(reader.read())
    try:
        while not ended.done():
            with suppress(ConnectionError):
                if kind != "idle":
                    writer.write(b"x")
                    await writer.drain()
            await asyncio.wait({ended}, timeout=0.5)
        ended.exception()
        closed_s.append(time.monotonic() - began)
    finally:
        ended.cancel()
        writer.close()


@row("D7")
async def test_senders_who_never_end_are_closed_and_honest_ones_go_on(gateway: Gateway, intensity: Intensity) -> None:
    closed_s: list[float] = []
    kinds = ("head", "body", "idle")
    many = intensity.pick(90, 500)
    slow = [asyncio.create_task(trickle(gateway, kinds[n % 3], closed_s)) for n in range(many)]
    honest_s: list[float] = []
    ends = time.monotonic() + CLOSED_WITHIN_S + 10
    async with aiohttp.ClientSession() as session:
        while not all(task.done() for task in slow) and time.monotonic() < ends:
            began = time.monotonic()
            async with session.post(f"{gateway.url}{BATCH}", json={"logs": [EVENT]}) as answer:
                assert answer.status == 201
            honest_s.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert len(closed_s) == many, f"{many - len(closed_s)} were never closed"
    assert max(closed_s) <= CLOSED_WITHIN_S
    honest_s.sort()
    p99_ms = honest_s[int(len(honest_s) * 0.99)] * 1000
    intensity.saw(f"{many} closed within {max(closed_s):.0f} s; {len(honest_s)} honest requests, p99 {p99_ms:.0f} ms")
