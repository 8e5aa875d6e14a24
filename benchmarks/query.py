"""Measures a running query API over HTTP on the data of `query_data`: pages uncached, and the same again cached.

    python benchmarks/query.py --url http://127.0.0.1:8081 --dsn postgresql://... --topic T [--rows 10000000] [--json F]

Every uncached question is a range of its own. One connection asks, so a figure is an answer's time and no queue's.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

if __package__ in (None, ""):  # Started as a file.
    sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.query_data import QUIET_SOURCE, SPAN, fill_now, newest_end

RANGES = {"1 h": timedelta(hours=1), "24 h": timedelta(hours=24), "7 d": timedelta(days=7)}
SOURCE = "host-120.example.net"  # About 0.4 % of all events.
# The last two are not asked for: what a device that is nearly silent, or not there at all, costs to find out about.
FILTERS: dict[str, dict[str, str]] = {
    "page": {},
    "by severity": {"severity": "CRITICAL"},
    "by source": {"source": SOURCE},
    "both": {"severity": "CRITICAL", "source": SOURCE},
    "quiet source": {"source": QUIET_SOURCE},
    "absent source": {"source": "nowhere.example.net"},
}
UNCACHED_ASKED_MS = 50.0
RARE_ASKED_MS = 100.0
RARE_BELOW = 200
CACHED_ASKED_MS = 5.0
TIMES_FASTER_ASKED = 5.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of question. Times in milliseconds; `total` is the median number of matching events."""

    name: str
    range: str
    total: int
    uncached_p50: float
    uncached_p95: float
    cached_p50: float
    cached_p95: float

    @property
    def asked_ms(self) -> float:
        """What the 95th percentile may be, uncached."""
        return RARE_ASKED_MS if self.total < RARE_BELOW else UNCACHED_ASKED_MS

    @property
    def times_faster(self) -> float:
        """The ratio of the medians: those of the 95th percentiles say more about the machine."""
        return self.uncached_p50 / self.cached_p50

    @property
    def times_faster_asked(self) -> float:
        """What the ratio should be; nothing where there is next to nothing to compute."""
        return 0.0 if self.name in ("quiet source", "absent source") else TIMES_FASTER_ASKED

    @property
    def meets_all(self) -> bool:
        """Whether every bound holds."""
        return (
            self.uncached_p95 < self.asked_ms
            and self.cached_p95 < CACHED_ASKED_MS
            and self.times_faster >= self.times_faster_asked
        )


class Asker:
    """One connection that asks and waits for the whole answer."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._socket = socket.create_connection((self._host, parts.port or 80), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path: str) -> tuple[float, bytes]:
        """Milliseconds and the body. Raises RuntimeError for any other status than 200."""
        request = f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode()
        started = time.perf_counter()
        self._socket.sendall(request)
        head, body = b"", b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(1 << 20)
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(1 << 20)
        took_ms = (time.perf_counter() - started) * 1000
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"{path}: {head[:200]!r} {body[:300]!r}")
        return took_ms, body


def paths(rng: random.Random, wanted: dict[str, str], width: timedelta, end: datetime, number: int) -> list[str]:
    """Different ranges of one width, to the millisecond, anywhere in the data."""
    made = []
    for _ in range(number):
        start = end - SPAN + timedelta(milliseconds=rng.randrange(int((SPAN - width) / timedelta(milliseconds=1))))
        asked = {"start_time": rfc3339(start), "end_time": rfc3339(start + width), **wanted}
        made.append(f"/api/v1/logs/query?{urlencode(asked)}")
    return made


def rfc3339(moment: datetime) -> str:
    """In UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def measure(url: str, end: datetime, number: int) -> list[Measured]:
    """Every kind of question in every range."""
    # Not seeded: a second run must not meet what the first one left in the cache.
    rng, asker, found = random.Random(), Asker(url), []
    for range_name, width in RANGES.items():
        for name, wanted in FILTERS.items():
            for path in paths(rng, wanted, width, end, 5):
                asker.ask(path)
            asked = paths(rng, wanted, width, end, number)
            uncached, bodies = zip(*(asker.ask(path) for path in asked), strict=True)
            assert all(b'"cached":false' in body[:20] for body in bodies)
            repeated = [asker.ask(path) for path in asked for _ in range(2)]
            # A pause of the machine makes Redis late; then PostgreSQL answers, which is no cached answer's time.
            cached = tuple(took_ms for took_ms, body in repeated if b'"cached":true' in body[:20])
            assert len(cached) > len(repeated) / 2, "answers are not kept long enough for this run"
            totals = sorted(json.loads(body)["total"] for body in bodies)
            found.append(
                Measured(
                    name,
                    range_name,
                    totals[len(totals) // 2],
                    *(round(percentile(times, share), 2) for times in (uncached, cached) for share in (0.5, 0.95)),
                )
            )
    return found


def percentile(values: tuple[float, ...], share: float) -> float:
    """The value at this share of the sorted values."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def table(found: list[Measured]) -> str:
    """The figures as text."""
    lines = [
        f"{'range':>5} {'question':<14} {'matching':>10} {'uncached p50/p95 ms':>20} {'cached p50/p95 ms':>18}  faster"
    ]
    lines += [
        f"{m.range:>5} {m.name:<14} {m.total:>10,} {m.uncached_p50:>10.1f} /{m.uncached_p95:>7.1f}"
        f" {m.cached_p50:>9.2f} /{m.cached_p95:>6.2f} {m.times_faster:>6.1f}x{'' if m.meets_all else '  not met'}"
        for m in found
    ]
    return "\n".join(lines)


def main() -> None:
    """Fills when told how many rows, then measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8081")
    parser.add_argument("--dsn", help="fill this empty, migrated database first")
    parser.add_argument("--topic", default="threatlog.events")
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--end", type=datetime.fromisoformat, help="when the data ends, if it is there already")
    parser.add_argument("--questions", type=int, default=100, help="of each kind")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    end = arguments.end or newest_end()
    if arguments.dsn:
        took_s = fill_now(arguments.dsn, arguments.topic, arguments.partitions, arguments.rows, end)
        print(f"filled {arguments.rows:,} rows up to {end.isoformat()} in {took_s:.0f} s", flush=True)
    found = measure(arguments.url, end, arguments.questions)
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(m) for m in found], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
