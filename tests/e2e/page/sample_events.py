"""The events that the tests of the page look for: each kind at a time of its own, so that tests do not meet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.e2e.page.hostile_strings import HOSTILE

SEVERITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO")
USERS: Final = ("root", "guest", "ansible", "backup")
SAMPLES: Final = 360
BULK: Final = 6_000
BIG_TEXT: Final = "".join(f"{n:07d} " for n in range(7_500))
EXACT: Final = '{"big": 9007199254740993, "whole": 1.0, "small": 1e-7, "long": 123456789012345678901234567890}'
_BATCH: Final = 2_000


@dataclass(frozen=True, slots=True)
class Times:
    """Where each kind begins. All are hours of the days before."""

    now: datetime

    @property
    def _day(self) -> datetime:
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def samples(self) -> datetime:
        """An hour of usual events, one each ten seconds."""
        return self._day - timedelta(hours=14)

    @property
    def hostile(self) -> datetime:
        """One event a second, each made of a hostile string."""
        return self._day - timedelta(hours=10)

    @property
    def special(self) -> datetime:
        """Numbers and sizes beyond the usual."""
        return self._day - timedelta(hours=8)

    @property
    def pictures(self) -> datetime:
        """An hour as it may really be."""
        return self._day - timedelta(hours=6)

    @property
    def bulk(self) -> datetime:
        """More events than one slice of a search."""
        return self._day - timedelta(days=3)


def address(start: datetime, length: timedelta, **more: str) -> str:
    """The part of the page's address that shows a time."""
    values = {"from": written(start), "to": written(start + length), **more}
    return "#" + "&".join(f"{name}={_encoded(value)}" for name, value in values.items())


def written(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def sample(times: Times, number: int) -> dict[str, Any]:
    """One usual event."""
    severity = SEVERITIES[min(number % 17, 4)]
    return {
        "timestamp": written(times.samples + timedelta(seconds=10 * number, microseconds=123_456)),
        "severity": severity,
        "source": f"web-0{number % 3 + 1}",
        "message": f"Failed password for {USERS[number % 4]} from 203.0.113.{number % 50} port {40_000 + number} ssh2",
        "attributes": {
            "user": USERS[number % 4],
            "client_ip": f"203.0.113.{number % 50}",
            "port": 40_000 + number,
            "tags": ["ssh", "auth"],
            "geo": {"country": "NO" if number % 2 else "IS"},
        },
    }


def hostile(times: Times, number: int) -> dict[str, Any]:
    """An event with the hostile string of this number in every field that takes text."""
    text = HOSTILE[number]
    return {
        "timestamp": written(times.hostile + timedelta(seconds=number)),
        "severity": SEVERITIES[number % 5],
        "source": text[:250],
        "message": text,
        "attributes": {text[:1000]: text, "number": number},
    }


def special(times: Times) -> list[bytes]:
    """Exact numbers, large texts, many attributes, and a control character, as JSON."""
    at = [written(times.special + timedelta(seconds=n)) for n in range(5)]
    many = {f"key{n:04d}": n for n in range(2_000)}
    return [
        _event(at[0], "exact", "exact numbers", EXACT),
        _event(at[1], "large", BIG_TEXT * 4, json.dumps({"text": BIG_TEXT})),
        _event(at[2], "many", "many attributes", json.dumps(many)),
        _event(at[3], "nested", "a list in a list", '{"a": [[1, 2], {"b": [null, true, "x"]}], "empty": {}, "e": ""}'),
        _event(at[4], "escape", "an escaped control", '{"bell": "a\\u0007b"}'),
    ]


def _event(timestamp: str, source: str, message: str, attributes: str) -> bytes:
    head = json.dumps({"timestamp": timestamp, "severity": "LOW", "source": source, "message": message})
    return f'{head[:-1]}, "attributes": {attributes}}}'.encode()


def bulk(times: Times, number: int) -> dict[str, Any]:
    """One of many alike; the oldest is another one."""
    return {
        "timestamp": written(times.bulk + timedelta(milliseconds=100 * number)),
        "severity": "INFO",
        "source": "bulk",
        "message": "the needle" if number == 0 else f"one of many, {number}",
    }


def all_lines(times: Times) -> Iterator[bytes]:
    """Every event as a line of NDJSON."""
    yield from special(times)
    for events in (
        (sample(times, n) for n in range(SAMPLES)),
        (hostile(times, n) for n in range(len(HOSTILE))),
        (bulk(times, n) for n in range(BULK)),
    ):
        for event in events:
            yield json.dumps(event).encode()


def batches(lines: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """Lines as bodies of requests."""
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
