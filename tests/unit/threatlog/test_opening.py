"""The lines to copy point at this run's ports and at the present."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from threatlog.up.opening import curl_lines, opening
from threatlog.up.plan import Addresses

AT = Addresses("http://127.0.0.1:18080", "http://[::1]:18081", "http://127.0.0.1:20001")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_the_query_line_covers_yesterday_to_tomorrow() -> None:
    assert "start_time=2026-02-28T12:00:00Z&end_time=2026-03-02T12:00:00Z" in curl_lines(AT, NOW)[1]


def test_the_opening_holds_the_three_lines_each_whole() -> None:
    lines = opening(AT, Path("/data"), Path("/data/environment.sh"), NOW).splitlines()
    assert [line for line in lines if line.startswith("curl")] == list(curl_lines(AT, NOW))


def test_an_address_in_brackets_is_quoted_for_shells_that_read_them_as_a_pattern() -> None:
    assert "'http://[::1]:18081/api/v1/lag'" in curl_lines(AT, NOW)[2]


def test_the_opening_says_where_postgres_is_when_that_is_elsewhere(tmp_path: Path) -> None:
    place = tmp_path / "store" / "postgres-1"
    place.mkdir(parents=True)
    told = f"PostgreSQL   {place}, linked from {tmp_path / 'postgres'}"
    assert told not in opening(AT, tmp_path, Path("/data/environment.sh"), NOW).splitlines()
    (tmp_path / "postgres").symlink_to(place)
    assert told in opening(AT, tmp_path, Path("/data/environment.sh"), NOW).splitlines()
