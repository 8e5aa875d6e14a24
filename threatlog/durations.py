"""Durations of the command line: those of the settings, and days."""

from __future__ import annotations

from datetime import timedelta

from threatlog.process.setting_types import duration_s


def duration(text: str) -> timedelta:
    """`7d`, or a duration as in the settings, such as 90s, 15m and 1h. Raises ValueError and OverflowError."""
    if text.endswith("d"):
        return timedelta(days=float(text[:-1]))
    return timedelta(seconds=duration_s(text))
