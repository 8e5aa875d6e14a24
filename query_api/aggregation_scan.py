"""Histograms and values of a field where only the events themselves can say: as much as there is time for."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Final

from query_api import aggregation_sql
from query_api.aggregation import MOST_SERIES, Histogram, HistogramRequest, TopRequest, TopValues
from query_api.positions import StoredUntil
from query_api.snapshot import Snapshot
from query_api.timeline import Window

# Distinct values that are kept; above, the rarer half is forgotten.
MOST_KEPT: Final = 100_000


class HistogramScan:
    """Counts events by interval and severity or source, slice by slice."""

    def __init__(self, request: HistogramRequest) -> None:
        self._request = request
        self._cells: Counter[tuple[datetime, int | str]] = Counter()

    async def look(self, snapshot: Snapshot, windows: list[Window]) -> bool:
        """Adds the events of a slice; there is never enough."""
        for row in await snapshot.fetch(aggregation_sql.histogram_within(self._request, windows)):
            self._cells[row["t"], row["key"]] += row["n"]
        return False

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> Histogram:
        """What was counted, and down to where."""
        return Histogram(self._largest_series(), stored_until_us, unseen_until)

    def _largest_series(self) -> dict[tuple[datetime, int | str | None], int]:
        totals: Counter[int | str] = Counter()
        for (_, key), n in self._cells.items():
            totals[key] += n
        ranked = sorted(totals, key=lambda key: (-totals[key], str(key)))
        largest = set(ranked[:MOST_SERIES])
        cells: Counter[tuple[datetime, int | str | None]] = Counter()
        for (start, key), n in self._cells.items():
            cells[start, key if key in largest else None] += n
        return dict(cells)


class TopScan:
    """Counts the values of a field, slice by slice."""

    def __init__(self, request: TopRequest) -> None:
        self._request = request
        self._values: Counter[int | str] = Counter()
        self._is_exact = True

    async def look(self, snapshot: Snapshot, windows: list[Window]) -> bool:
        """Adds the events of a slice; there is never enough."""
        statement = aggregation_sql.top_within(self._request.filter, self._request.field, windows)
        rows = await snapshot.fetch(statement)
        self._is_exact &= len(rows) < aggregation_sql.MOST_SLICE_VALUES
        for row in rows:
            self._values[row["value"]] += row["n"]
        if len(self._values) > MOST_KEPT:
            self._values = Counter(dict(self._values.most_common(MOST_KEPT // 2)))
            self._is_exact = False
        return False

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> TopValues:
        """What was counted, and down to where."""
        ranked = sorted(self._values.items(), key=lambda item: (-item[1], str(item[0])))
        return TopValues(
            ranked[: self._request.limit],
            len(ranked),
            self._values.total(),
            stored_until_us,
            self._is_exact,
            unseen_until,
        )
