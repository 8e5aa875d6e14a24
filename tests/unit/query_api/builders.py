"""Builders of the values that the query API's tests need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from ingest_gateway.contract import unix_us
from query_api.reading import LoggedEvent, StoredPosition
from query_api.search import SearchFilter

NOON = datetime(2024, 3, 12, 12, 0, tzinfo=UTC)  # Long ago: what depends on the present sets its own clock.


def moment(seconds: float) -> datetime:
    """Seconds after noon of the test day."""
    return NOON + timedelta(seconds=seconds)


def logged_event(number: int = 1, **overrides: object) -> LoggedEvent:
    """An event that happened `number` seconds after noon, with an id that begins with its time."""
    ts = overrides.pop("timestamp", None) or moment(number)
    assert isinstance(ts, datetime)
    values: dict[str, object] = {
        "id": UUID(int=(unix_us(ts) // 1000 << 80) | 8 << 76 | 2 << 62 | number),
        "timestamp": ts,
        "severity": "HIGH",
        "source": "web-01",
        "message": f"message {number}",
        "ingested_at": ts + timedelta(milliseconds=80),
    }
    return LoggedEvent(**{**values, **overrides})  # type: ignore[arg-type] # A builder takes any field.


def with_attributes(event: LoggedEvent, raw: bytes) -> LoggedEvent:
    """The event with these bytes as attributes."""
    return msgspec.structs.replace(event, attributes=msgspec.Raw(raw))


def search_filter(**overrides: object) -> SearchFilter:
    """The hour after noon."""
    values: dict[str, object] = {"start": NOON, "end": NOON + timedelta(hours=1)}
    return SearchFilter(**{**values, **overrides})  # type: ignore[arg-type] # A builder takes any field.


def position(partition: int = 0, **overrides: object) -> StoredPosition:
    """A partition stored up to offset 100 by a live worker."""
    values: dict[str, object] = {
        "partition": partition,
        "next_offset": 100,
        "stored_until": NOON,
        "worker": "stream-host-1",
        "silent_s": 0.2,
    }
    return StoredPosition(**{**values, **overrides})  # type: ignore[arg-type] # A builder takes any field.


class Clock:
    """A clock that a test moves."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def as_datetime(self) -> Callable[[], datetime]:
        """The same clock as moments after noon."""
        return lambda: moment(self.now_s)
