"""What Redis is still to be told: absolute counts and the newest rows of one or several windows."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

from ingest_gateway.contract import SEVERITIES
from stream_app.contract import RECENT_EVENTS, count_member
from stream_app.outcomes import Stored
from stream_app.prepare import Row
from stream_app.recent_event import member_of_row

Member = tuple[bytes, int]  # the JSON of an event, its time in microseconds


_by_time_and_id: Final = attrgetter("ts_us", "id")


class Pending:
    """Grows by whole windows; later counts of a cell replace earlier ones, since they are absolute and only grow."""

    def __init__(self) -> None:
        self.minute_counts: dict[int, dict[str, int]] = {}
        self.total_counts: dict[str, int] = {}
        self.until_us: dict[int, int] = {}
        # Severity -> for each window, its newest rows, newest first.
        self._rows: dict[int, list[list[Row]]] = {}

    def add(self, stored: Stored, until_ms: Mapping[int, int], latest_us: int) -> None:
        """Adds one window. Rows dated after `latest_us` are in no recent list."""
        for cell, count in stored.minute_counts.items():
            member = count_member(SEVERITIES[cell.severity], cell.source)
            self.minute_counts.setdefault(cell.unix_minute, {})[member] = count
        for (severity, source), count in stored.total_counts.items():
            self.total_counts[count_member(SEVERITIES[severity], source)] = count
        self._add_rows(stored.rows, latest_us)
        self.move_until(until_ms)

    def _add_rows(self, rows: Sequence[Row], latest_us: int) -> None:
        end = len(rows)
        while end and rows[end - 1].ts_us > latest_us:
            end -= 1
        taken: list[list[Row]] = [[] for _ in SEVERITIES]
        full = 0
        for row in reversed(rows[:end]):
            of_severity = taken[row.shared.severity]
            if len(of_severity) < RECENT_EVENTS:
                of_severity.append(row)
                full += len(of_severity) == RECENT_EVENTS
            elif full == len(SEVERITIES):
                break
        for severity, newest_first in enumerate(taken):
            if newest_first:
                self._rows.setdefault(severity, []).append(newest_first)

    def move_until(self, until_ms: Mapping[int, int]) -> None:
        """Partition -> milliseconds: everything appended before is in here or was told before."""
        self.move_until_us({partition: ms * 1000 for partition, ms in until_ms.items()})

    def move_until_us(self, until_us: Mapping[int, int]) -> None:
        """The same in microseconds."""
        for partition, us in until_us.items():
            self.until_us[partition] = max(us, self.until_us.get(partition, 0))

    @property
    def size(self) -> int:
        """How many rows wait to be told."""
        return sum(len(rows) for windows in self._rows.values() for rows in windows)

    def severities(self) -> list[int]:
        """The severities that have new rows."""
        return list(self._rows)

    def recent_of(self, severity: int) -> list[Member]:
        """The newest events of one severity, as members."""
        rows = heapq.merge(*self._rows[severity], key=_by_time_and_id, reverse=True)
        return [(member_of_row(row), row.ts_us) for row in islice(rows, RECENT_EVENTS)]


def newest(members: Sequence[Member]) -> list[Member]:
    """The newest RECENT_EVENTS of members of any severity."""
    return sorted(members, key=lambda member: member[1], reverse=True)[:RECENT_EVENTS]
