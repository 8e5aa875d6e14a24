"""The ways a search can fail."""

from __future__ import annotations


class SearchError(Exception):
    """It cannot be done; the text says why, and what would be right."""


class WrongQueryError(SearchError):
    """The filter cannot be read; `position` is the character, counted from 0."""

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(detail)
        self.position = position


class AwayError(SearchError):
    """Nobody takes the connection."""


class BrokenOffError(SearchError):
    """A stream ended or was silent for too long: it may go on when it is asked for again."""


class BusyError(SearchError):
    """The same request may succeed after `retry_after_s`."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
