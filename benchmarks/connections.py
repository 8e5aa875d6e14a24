"""A thousand open connections that send and query at once."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.section import Figure, Section

CONNECTIONS = 1000
# Open loop: each connection has its own moments, so that an answer that is late delays only its own connection.
INTERVAL_S = 2.0


@dataclass(slots=True)
class Tally:
    """What the connections saw. Latency counts from a request's moment, not from when it was written."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


def _ingest(rng: random.Random, port: int) -> bytes:
    event = {
        "timestamp": datetime.now(UTC).isoformat(),
        "severity": rng.choice(["INFO", "LOW", "HIGH"]),
        "source": f"conn-{rng.randrange(100):02d}",
        "message": f"Accepted publickey for deploy from 192.0.2.{rng.randrange(256)} port {rng.randrange(65536)} ssh2",
    }
    body = json.dumps(event).encode()
    head = f"POST /api/v1/logs/ingest HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _query(rng: random.Random, port: int) -> bytes:
    end = datetime.now(UTC) + timedelta(seconds=1)
    start = quote((end - timedelta(hours=1)).isoformat())
    severity = rng.choice(["", "&severity=HIGH", f"&source=conn-{rng.randrange(100):02d}"])
    path = f"/api/v1/logs/query?start_time={start}&end_time={quote(end.isoformat())}&limit=50{severity}"
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()


async def _connection(number: int, ports: tuple[int, int], until: float, tally: Tally) -> None:
    """One connection: every third to the query API, the others to the gateway."""
    rng = random.Random(number)
    make, port = (_query, ports[1]) if number % 3 == 0 else (_ingest, ports[0])
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = time.perf_counter() + rng.random() * INTERVAL_S
        while due < until:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            writer.write(make(rng, port))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await asyncio.wait_for(reader.readexactly(length), 30)
            tally.statuses[int(head.split(b" ")[1])] += 1
            tally.latencies.append(time.perf_counter() - due)
            due += INTERVAL_S
        writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        tally.failures[type(error).__name__] += 1


async def measure(stack: BenchStack, seconds: float) -> Tally:
    """All connections side by side."""
    tally, ports = Tally(), (stack.service_ports["gateway"], stack.service_ports["query"])
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_connection(number, ports, until, tally) for number in range(CONNECTIONS)))
    tally.latencies.sort()
    return tally


def run(*, quick: bool = False) -> Section:
    """The section of the report."""
    seconds = 10.0 if quick else 60.0
    with bench_stack(12) as stack:
        for name in ("gateway", "stream", "query"):
            stack.start(name)
        tally = asyncio.run(measure(stack, seconds))
    errors = sum(tally.failures.values()) + sum(n for status, n in tally.statuses.items() if status >= 400)
    p50, p99 = (tally.latencies[len(tally.latencies) * share // 100] * 1000 for share in (50, 99))
    return Section(
        f"{CONNECTIONS:,} open connections sending and querying",
        (
            Figure("errors", f"{errors} of {len(tally.latencies):,} requests", "none", errors == 0),
            Figure("latency", f"p50 {p50:.0f}, p99 {p99:.0f} ms", "500 ms p99", p99 < 500),
        ),
        f"{CONNECTIONS / INTERVAL_S:,.0f} requests/s for {seconds:.0f} s, two thirds single events, one third queries.",
    )
