"""The names of the attributes of many events, with how many events have each and of which types, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from query_api.filter_language.expressions import Attribute
from query_api.filter_language.values import NumberText
from query_api.filter_language.written import written_place

# Names that are kept, those of objects on the way to them included; above, the rarer half is forgotten.
MOST_NAMES: Final = 10_000
# A longer one is not listed: a filter with it would hardly have room for a value.
MOST_NAME_CHARS: Final = 1_000
_MOST_DEPTH: Final = 100

TYPES: Final = ("string", "number", "boolean", "array", "object")
_STRING, _NUMBER, _BOOLEAN, _ARRAY, _OBJECT, _IS_KEY = (1 << n for n in range(6))
_BITS: Final[dict[type, int]] = {
    str: _STRING,
    NumberText: _NUMBER,
    int: _NUMBER,
    bool: _BOOLEAN,
    list: _ARRAY,
    dict: _OBJECT,
}


@dataclass(frozen=True, slots=True)
class AttributeName:
    """An attribute, how many events have it with a value that is not null, and of which types that is.

    Of a list the types of its elements are among them. A name that is a number other than 0 may also be a place in a
    list: those are not counted.
    """

    attribute: Attribute
    events: int
    types: tuple[str, ...]


class _Branch:
    """One key, below those that lead to it."""

    __slots__ = ("branches", "events", "path", "types")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.branches: dict[str, _Branch] = {}
        self.events = 0
        self.types = 0


class AttributeNames:
    """Counts names, event by event.

    1. A key is counted once for an event: of keys that are given twice decoding keeps the last, as PostgreSQL does.
    2. Objects in a list have names only by their place in it; those of the first are counted, as `answers.0.name`.
    3. Nothing below a name is met more often than the name itself, so a rare name is forgotten with all below it.
    """

    def __init__(self, most_names: int = MOST_NAMES) -> None:
        self._most_names = most_names
        self._root = _Branch(())
        self._size = 0
        self.undercount_at_most = 0
        self.too_long = 0

    @property
    def is_exact(self) -> bool:
        """Whether every name was kept."""
        return not self.undercount_at_most and not self.too_long

    def add(self, attributes: object) -> None:
        """Counts the names of one event's decoded attributes."""
        if isinstance(attributes, dict):
            self._add_object(self._root, attributes)
            if self._size > self._most_names:
                self._forget_rare()

    def listed(self) -> list[AttributeName]:
        """All that hold values, those of most events first; objects that hold only others are left out."""
        found = [
            AttributeName(
                Attribute(branch.path),
                branch.events,
                tuple(name for bit, name in enumerate(TYPES) if branch.types >> bit & 1),
            )
            for _, _, branch in self._all(self._root)
            if branch.types & ~_IS_KEY != _OBJECT and branch.types & (_IS_KEY | _ARRAY | _OBJECT)
        ]
        return sorted(found, key=lambda name: (-name.events, name.attribute.path))

    def _add_object(self, branch: _Branch, found: dict[str, object]) -> None:  # 1
        for key, value in found.items():
            if value is not None:
                child = self._add(branch, key, value)
                if child is not None:
                    child.types |= _IS_KEY

    def _add(self, branch: _Branch, key: str, value: object) -> _Branch | None:
        child = branch.branches.get(key) or self._grown(branch, key)
        if child is None:
            return None
        child.events += 1
        child.types |= _BITS[type(value)]
        if isinstance(value, dict):
            self._add_object(child, value)
        elif isinstance(value, list):
            for element in value:
                child.types |= _BITS.get(type(element), 0)
            if value and value[0] is not None:
                self._add(child, "0", value[0])  # 2
        return child

    def _grown(self, branch: _Branch, key: str) -> _Branch | None:
        path = (*branch.path, key)
        is_too_long = len(key) > MOST_NAME_CHARS or len(path) > _MOST_DEPTH
        if is_too_long or len(written_place(Attribute(path))) > MOST_NAME_CHARS:
            self.too_long += 1
            return None
        branch.branches[key] = child = _Branch(path)
        self._size += 1
        return child

    def _all(self, branch: _Branch) -> Iterator[tuple[_Branch, str, _Branch]]:
        for key, child in branch.branches.items():
            yield branch, key, child
            yield from self._all(child)

    def _forget_rare(self) -> None:
        ranked = sorted(self._all(self._root), key=lambda found: (-found[2].events, len(found[2].path)))  # 3
        forgotten = ranked[self._most_names // 2 :]
        for parent, key, _ in forgotten:
            del parent.branches[key]
        self._size -= len(forgotten)
        self.undercount_at_most += forgotten[0][2].events
