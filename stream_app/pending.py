"""What Redis is still to be told: absolute counts and the newest rows of one or several windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingest_gateway.contract import SEVERITIES
from stream_app.contract import RECENT_EVENTS, count_member
from stream_app.outcomes import Stored
from stream_app.prepare import Row
from stream_app.recent_event import member_of_row

Member = tuple[bytes, int]  # the JSON of an event, its time in microseconds


class Pending:
    """Grows by whole windows; later counts of a cell replace earlier ones, since they are absolute and only grow."""

    def __init__(self) -> None:
        self.minute_counts: dict[int, dict[str, int]] = {}
        self.total_counts: dict[str, int] = {}
        self.until_us: dict[int, int] = {}
        self._rows: dict[int, list[Row]] = {}

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
        taken = dict.fromkeys(range(len(SEVERITIES)), 0)
        full = 0
        for row in reversed(rows):
            severity = row.severity
            if taken[severity] >= RECENT_EVENTS or row.ts_us > latest_us:
                continue
            taken[severity] += 1
            self._rows.setdefault(severity, []).append(row)
            if taken[severity] == RECENT_EVENTS:
                full += 1
                if full == len(SEVERITIES):
                    return

    def move_until(self, until_ms: Mapping[int, int]) -> None:
        """Partition -> milliseconds: everything appended before is in here or was told before."""
        for partition, ms in until_ms.items():
            self.until_us[partition] = max(ms * 1000, self.until_us.get(partition, 0))

    def severities(self) -> list[int]:
        """The severities that have new rows."""
        return list(self._rows)

    def recent_of(self, severity: int) -> list[Member]:
        """The newest events of one severity, as members."""
        rows = sorted(self._rows[severity], key=lambda row: (row.ts_us, row.id), reverse=True)
        return [(member_of_row(row), row.ts_us) for row in rows[:RECENT_EVENTS]]


def newest(members: Sequence[Member]) -> list[Member]:
    """The newest RECENT_EVENTS of members of any severity."""
    return sorted(members, key=lambda member: member[1], reverse=True)[:RECENT_EVENTS]
