"""The parts that make and join word filters, where they are turned on: only then is numpy loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_app.partitions import Sessions
    from stream_app.prepare import Row
    from stream_app.word_filter import WordFilter

    Making = Callable[[Sequence[Row]], Awaitable[Sequence[WordFilter]]]
    Joining = Callable[[], Awaitable[None]]


def making(is_wanted: bool) -> Making | None:
    """Makes the filters of a window's rows."""
    if not is_wanted:
        return None
    from stream_app.word_filters import by_turns

    return by_turns


def joining(is_wanted: bool, store: Sessions, now: Callable[[], datetime]) -> Joining | None:
    """Joins the small filters that are there."""
    if not is_wanted:
        return None
    from stream_app.filter_joining import FilterJoining

    return FilterJoining(store, now).join
