"""Times of the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from threatlog.search.times import moment, written

NOW = datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", NOW - timedelta(hours=1)),
        ("15m", NOW - timedelta(minutes=15)),
        ("90s", NOW - timedelta(seconds=90)),
        ("7d", NOW - timedelta(days=7)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("now", NOW),
        ("Today", datetime(2026, 11, 24, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24T10:00Z", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24 12:00:00.5+02:00", datetime(2026, 11, 24, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_what_is_accepted(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "1y", "-1h", "9999999999d", "nan d", "nand", "2026-13-01", "10:00", "tomorrow"]
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="yesterday"):
        moment(text, NOW)


def test_it_is_sent_as_the_query_api_takes_it() -> None:
    assert written(NOW) == "2026-11-24T10:15:30Z"
