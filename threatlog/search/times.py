"""Times as they are written on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from threatlog.durations import duration

ACCEPTED: Final = (
    "a duration before now (90s, 15m, 1h, 7d), now, today, yesterday, or a time such as 2026-11-24, 2026-11-24T10:00 "
    "or 2026-11-24T12:00:00+02:00; without a zone it is UTC"
)


def moment(text: str, now: datetime) -> datetime:
    """The time in UTC. Days begin at midnight UTC. Raises ValueError with what is accepted."""
    word = text.strip()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if word.lower() in words:
        return words[word.lower()]
    try:
        return _absolute(word) if "-" in word else now - duration(word)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is none of: {ACCEPTED}") from None


def _absolute(word: str) -> datetime:
    found = datetime.fromisoformat(word)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def written(moment: datetime) -> str:
    """As the query API takes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
