"""Histograms and values of a field where only the events themselves can say: as much as there is time for."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from query_api import aggregation_sql
from query_api.aggregation import MOST_SERIES, Histogram, HistogramRequest, TopRequest, TopValues
from query_api.bounded_counts import MOST_VALUE_CHARS, BoundedCounts
from query_api.positions import StoredUntil
from query_api.snapshot import Snapshot
from query_api.timeline import Window


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
        self._values = BoundedCounts()

    async def look(self, snapshot: Snapshot, windows: list[Window]) -> bool:
        """Adds the events of a slice; there is never enough."""
        rows = await snapshot.fetch(
            aggregation_sql.top_within(self._request.filter, self._request.field, windows, MOST_VALUE_CHARS)
        )
        for row in rows:
            if row["value"] is None:
                self._values.forget(row["n"])
            else:
                self._values.add(str(row["value"]), row["n"])
        if rows and (missing := rows[0]["total"] - sum(row["n"] for row in rows)):
            self._values.forget(missing, at_most_each=rows[-1]["n"])
        return False

    def found(self, stored_until_us: StoredUntil, unseen_until: datetime | None) -> TopValues:
        """What was counted, and down to where."""
        values = self._values
        is_code = self._request.field == "severity"
        return TopValues(
            [(int(value) if is_code else value, n) for value, n in values.largest(self._request.limit)],
            values.distinct_at_least,
            values.total,
            stored_until_us,
            values.is_exact,
            unseen_until,
            values.forgotten,
            values.undercount_at_most,
        )
