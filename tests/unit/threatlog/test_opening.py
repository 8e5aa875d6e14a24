"""The lines to copy point at this run's ports and at the present."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from threatlog.up.opening import curl_lines, opening
from threatlog.up.plan import Ports

PORTS = Ports(18080, 18081, (20_001,), 20_002, 20_003, 20_004, 20_005)
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_the_query_line_covers_yesterday_to_tomorrow() -> None:
    assert "start_time=2026-02-28T12:00:00Z&end_time=2026-03-02T12:00:00Z" in curl_lines(PORTS, NOW)[1]


def test_the_opening_holds_the_three_lines_each_whole() -> None:
    lines = opening(PORTS, Path("/data"), Path("/data/environment.sh"), NOW).splitlines()
    assert [line for line in lines if line.startswith("curl")] == list(curl_lines(PORTS, NOW))
