"""What is said of a filter that cannot be read."""

from __future__ import annotations


class FilterError(ValueError):
    """What is wrong, and what would be right; `position` is the character, counted from 0."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position
