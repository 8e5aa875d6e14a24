"""A worker empties Redis once for each drop that it has not seen, and shows what is overdue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from stream_app.figures import StreamFigures
from stream_app.retention_watch import RetentionWatch

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


class Tables:
    """What PostgreSQL answers, and what Redis is told."""

    def __init__(self) -> None:
        self.newest: int | None = None
        self.events = 0
        self.days = ["logs_20261124"]
        self.emptied = 0

    async def fetch(self, statement: str, *_: Any) -> list[Any]:
        if "retention_drops" in statement:
            return [{"newest": self.newest, "events": self.events}]
        return [{"relname": name} for name in self.days]

    def mark_set_back(self) -> None:
        self.emptied += 1


async def test_each_drop_empties_redis_once() -> None:
    tables, registry = Tables(), CollectorRegistry()
    figures = StreamFigures(registry, lambda: 0.0, lambda: range(1))
    watch = RetentionWatch(tables, tables, figures, 2, lambda: NOW)
    await watch.look()
    assert tables.emptied == 0

    tables.newest, tables.events = 7, 1000
    await watch.look()
    await watch.look()
    assert tables.emptied == 1
    assert registry.get_sample_value("threatlog_retention_dropped_events") == 1000

    tables.newest = 8
    await watch.look()
    # None within the last day: nothing new.
    tables.newest = None
    await watch.look()
    assert tables.emptied == 2


async def test_days_past_their_retention_are_shown_until_they_are_gone() -> None:
    tables, registry = Tables(), CollectorRegistry()
    tables.days = ["logs_20261121", "logs_20261122", "logs_20261123", "logs_20261125"]
    figures = StreamFigures(registry, lambda: 0.0, lambda: range(1))
    await RetentionWatch(tables, tables, figures, 2, lambda: NOW).look()
    assert registry.get_sample_value("threatlog_retention_overdue_days") == 2

    await RetentionWatch(tables, tables, figures, 0, lambda: NOW).look()
    assert registry.get_sample_value("threatlog_retention_overdue_days") == 0
