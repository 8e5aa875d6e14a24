"""Deliveries whose records are stored, in the order they came, until Redis was told of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from stream_app.windowing import Delivery


class Acknowledgements:
    """They leave from the front only, so that Faust never commits past one that is left."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._given = 0

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """These are stored."""
        self._waiting.extend(deliveries)

    @property
    def mark(self) -> int:
        """Stands for all that were added so far."""
        return self._given + len(self._waiting)

    @property
    def any_wait(self) -> bool:
        """Whether any is not given yet."""
        return bool(self._waiting)

    def give(self, mark: int) -> None:
        """Acknowledges those added before `mark` was read; another caller may have given some of them already."""
        while self._given < mark:
            self._given += 1
            self._waiting.popleft().acknowledge()
