"""Measures a running gateway: CPU microseconds per event in batches, requests per second for single events.

    python benchmarks/gateway.py --url http://127.0.0.1:8080 --pid PID [--seconds 10]

The sender is a raw asyncio client with bodies made beforehand, so that nearly all that is measured is the gateway; its
CPU time comes from the operating system, and so does Kafka's when its process is named too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psutil

MESSAGES = (
    "Failed password for invalid user {user} from {ip} port {port} ssh2",
    "Accepted publickey for {user} from {ip} port {port} ssh2: ED25519 SHA256:{hash}",
    "DROP IN=eth0 OUT= SRC={ip} DST=10.0.0.5 LEN=60 TOS=0x00 TTL=52 ID={port} PROTO=TCP SPT={port} DPT=22 SYN",
    'GET /wp-login.php HTTP/1.1" 404 {port} "-" "Mozilla/5.0 (X11; Linux x86_64) rv:{port}" {hash}',
)


@dataclass(frozen=True, slots=True)
class Run:
    """One way of sending."""

    name: str
    path: str
    bodies: tuple[bytes, ...]
    events_per_request: int
    connections: int


def event(chance: random.Random, *, attributes: bool) -> dict[str, object]:
    """One security event, about 320 bytes as its Kafka record when it has attributes."""
    values = {
        "user": chance.choice(["root", "admin", "oracle", "deploy", "git"]),
        "ip": f"203.0.{chance.randrange(256)}.{chance.randrange(256)}",
        "port": chance.randrange(1024, 65536),
        "hash": f"{chance.getrandbits(64):016x}",
    }
    made: dict[str, object] = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "severity": chance.choice(["INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"]),
        "source": f"web-{chance.randrange(200):03d}.example.net",
        "message": chance.choice(MESSAGES).format(**values),
    }
    if attributes:
        made["attributes"] = {"user": values["user"], "client_ip": values["ip"], "session": values["hash"]}
    return made


def runs(batch: int, connections: int) -> list[Run]:
    """The runs, with their bodies ready."""
    chance = random.Random(1)

    def batches(*, attributes: bool) -> tuple[bytes, ...]:
        return tuple(
            json.dumps({"logs": [event(chance, attributes=attributes) for _ in range(batch)]}).encode()
            for _ in range(20)
        )

    singles = tuple(json.dumps(event(chance, attributes=True)).encode() for _ in range(500))
    return [
        Run("batches", "/api/v1/logs/ingest/batch", batches(attributes=False), batch, 4),
        Run("batches, attributes", "/api/v1/logs/ingest/batch", batches(attributes=True), batch, 4),
        Run("single events", "/api/v1/logs/ingest", singles, 1, connections),
    ]


async def send(run: Run, host: str, port: int, until: float, latencies: list[float], offset: int) -> int:
    """One connection, one request at a time; returns the requests answered 201."""
    reader, writer = await asyncio.open_connection(host, port)
    heads = [
        f"POST {run.path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        for body in run.bodies
    ]
    done = 0
    while time.perf_counter() < until:
        index = (offset + done) % len(run.bodies)
        started = time.perf_counter()
        writer.write(heads[index] + run.bodies[index])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b" 201 " not in head[:16]:
            raise SystemExit(f"{run.name}: {head!r} {body[:300]!r}")
        latencies.append(time.perf_counter() - started)
        done += 1
    writer.close()
    return done


def cpu_s(pid: int | None) -> float:
    """CPU seconds that a process has used; 0 for none."""
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def measure(run: Run, arguments: argparse.Namespace, seconds: float) -> dict[str, object]:
    """Sends for the time and returns the figures."""
    address = urlsplit(arguments.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    latencies: list[float] = []
    before, kafka_before, started = cpu_s(arguments.pid), cpu_s(arguments.kafka_pid), time.perf_counter()
    counts = await asyncio.gather(
        *(send(run, host, port, started + seconds, latencies, 7 * n) for n in range(run.connections))
    )
    elapsed, events = time.perf_counter() - started, sum(counts) * run.events_per_request
    latencies.sort()
    return {
        "run": run.name,
        "events_per_s": round(events / elapsed),
        "requests_per_s": round(sum(counts) / elapsed),
        "gateway_cpu_us_per_event": round((cpu_s(arguments.pid) - before) / events * 1e6, 2),
        "kafka_cpu_us_per_event": round((cpu_s(arguments.kafka_pid) - kafka_before) / events * 1e6, 2),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 1),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 1),
    }


def main() -> None:
    """Runs every way of sending and prints one JSON line each."""
    import uvloop

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--pid", type=int, required=True, help="process id of the gateway")
    parser.add_argument("--kafka-pid", type=int, help="process id of Kafka")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=64, help="for single events")
    arguments = parser.parse_args()
    for run in runs(arguments.batch, arguments.connections):
        uvloop.run(measure(run, arguments, 1.0))
        print(json.dumps(uvloop.run(measure(run, arguments, arguments.seconds))), flush=True)


if __name__ == "__main__":
    main()
