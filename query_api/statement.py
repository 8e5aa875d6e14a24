"""A text of SQL with its arguments, and how both are composed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with $1, $2, … and the arguments in that order.

    Where `is_planned_once`, one plan serves all arguments, and making it anew would cost as much as running it. A plan
    is kept by each connection, so it is for texts of which there are few.
    """

    text: str
    arguments: tuple[Any, ...] = ()
    is_planned_once: bool = False


class Arguments:
    """Numbers the arguments as the text is composed."""

    def __init__(self, before: Iterable[Any] = ()) -> None:
        self.values: list[Any] = list(before)

    def add(self, value: Any) -> str:
        """`$n` for it."""
        self.values.append(value)
        return f"${len(self.values)}"

    def statement(self, text: str) -> Statement:
        """The text with all that was added."""
        return Statement(text, tuple(self.values))
