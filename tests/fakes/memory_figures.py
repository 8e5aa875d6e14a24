"""Producers' figures in memory, for unit tests; tests/contract/test_producer_figures.py holds them to PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

from ingest_gateway.postgres_figures import FiguresUnavailableError
from ingest_gateway.producer_accounts import Counters


class MemoryFigures:
    """What one gateway sees of the figures of all; it can be away."""

    def __init__(self, gateway: str = "a:1", rows: dict[tuple[str, str], Counters] | None = None) -> None:
        self.gateway = gateway
        self.rows = {} if rows is None else rows
        self.duplicates: dict[str, int] = {}
        self.away = False

    async def own(self) -> dict[str, Counters]:
        self._check()
        return {key: counters for (key, gateway), counters in self.rows.items() if gateway == self.gateway}

    async def write(self, counters: Mapping[str, Counters]) -> None:
        self._check()
        for key, found in counters.items():
            self.rows[key, self.gateway] = dict(found)

    async def of_key(self, key_id: str) -> tuple[list[Counters], int]:
        self._check()
        others = [found for (key, gateway), found in self.rows.items() if key == key_id and gateway != self.gateway]
        return others, self.duplicates.get(key_id, 0)

    def _check(self) -> None:
        if self.away:
            raise FiguresUnavailableError("PostgreSQL cannot be used: it is away")
