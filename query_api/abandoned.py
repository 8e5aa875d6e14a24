"""Whether anyone still waits for the answer that is being made: who has gone away needs no more of it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

# Of the computation that the current task is part of.
_IS_ABANDONED: Final[ContextVar[Callable[[], bool]]] = ContextVar("is_abandoned", default=lambda: False)


def is_abandoned() -> bool:
    """Whether all who asked have gone: a search then ends as if its time were over, between two statements, so that
    the connection is of use to the next one.
    """
    return _IS_ABANDONED.get()()


def watch(is_abandoned_now: Callable[[], bool]) -> None:
    """Says it for the current task, and for those that it begins."""
    _IS_ABANDONED.set(is_abandoned_now)
