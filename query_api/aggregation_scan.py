"""Histograms and values of a field where only the events themselves can say: as much as there is time for."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from datetime import datetime
from typing import Final

from query_api import aggregation_sql
from query_api.aggregation import MOST_SERIES, Histogram, HistogramRequest, TopRequest, TopValues
from query_api.positions import StoredUntil
from query_api.scan import Scan
from query_api.snapshot import Snapshot

# Distinct values that are kept; above, the rarer half is forgotten.
MOST_KEPT: Final = 100_000


class HistogramScan:
    """Counts events by interval and severity or source, slice by slice."""

    def __init__(self, request: HistogramRequest, scan: Scan) -> None:
        self._request = request
        self._scan = scan
        self._cells: Counter[tuple[datetime, int | str]] = Counter()

    async def run(self, snapshot: Snapshot) -> None:
        """Counts until all is seen or the time is over."""
        async with aclosing(self._scan.slices(snapshot)) as slices:
            async for windows in slices:
                for row in await snapshot.fetch(aggregation_sql.histogram_within(self._request, windows)):
                    self._cells[row["t"], row["key"]] += row["n"]

    def found(self, stored_until_us: StoredUntil) -> Histogram:
        """What was counted, and down to where."""
        return Histogram(self._largest_series(), stored_until_us, self._scan.unseen_until)

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

    def __init__(self, request: TopRequest, scan: Scan) -> None:
        self._request = request
        self._scan = scan
        self._values: Counter[int | str] = Counter()
        self._is_exact = True

    async def run(self, snapshot: Snapshot) -> None:
        """Counts until all is seen or the time is over."""
        async with aclosing(self._scan.slices(snapshot)) as slices:
            async for windows in slices:
                statement = aggregation_sql.top_within(self._request.filter, self._request.field, windows)
                rows = await snapshot.fetch(statement)
                self._is_exact &= len(rows) < aggregation_sql.MOST_SLICE_VALUES
                for row in rows:
                    self._values[row["value"]] += row["n"]
                if len(self._values) > MOST_KEPT:
                    self._values = Counter(dict(self._values.most_common(MOST_KEPT // 2)))
                    self._is_exact = False

    def found(self, stored_until_us: StoredUntil) -> TopValues:
        """What was counted, and down to where."""
        ranked = sorted(self._values.items(), key=lambda item: (-item[1], str(item[0])))
        return TopValues(
            ranked[: self._request.limit],
            len(ranked),
            self._values.total(),
            stored_until_us,
            self._is_exact,
            self._scan.unseen_until,
        )
