"""The fields of events and their values by plain evaluation of every event: what readers are held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from query_api.aggregation import TopField
from query_api.attribute_names import TYPES, AttributeName
from query_api.fields import Facet
from query_api.filter_language.expressions import Attribute, Exists, Field
from query_api.filter_language.matching import Candidate, matches, texts_at, value_at

_KINDS = {str: "string", bool: "boolean", list: "array", dict: "object"}


def names_of(all_attributes: Sequence[object]) -> list[AttributeName]:
    """All names that hold values, those of most events first."""
    found = []
    for path in {path for attributes in all_attributes for path in _paths((), attributes)}:
        values = [value for attributes in all_attributes if (value := value_at(path, attributes)) is not None]
        elements = [element for value in values if isinstance(value, list) for element in value if element is not None]
        kinds = {_KINDS.get(type(value), "number") for value in values + elements}
        if kinds - {"object"}:
            found.append(AttributeName(Attribute(path), len(values), tuple(kind for kind in TYPES if kind in kinds)))
    return sorted(found, key=lambda name: (-name.events, name.attribute.path))


def _paths(path: tuple[str, ...], found: object) -> Iterator[tuple[str, ...]]:
    """Each key with a value, and what is first in a list where that is no scalar."""
    if isinstance(found, dict):
        below = [(key, value) for key, value in found.items() if value is not None]
    elif isinstance(found, list) and found and isinstance(found[0], dict | list):
        below = [("0", found[0])]
    else:
        below = []
    for key, value in below:
        yield (*path, key)
        yield from _paths((*path, key), value)


def facet_of(events: Sequence[Candidate], field: TopField, most: int) -> Facet:
    """The values of one field, each counted once for an event."""
    values: Counter[int | str] = Counter()
    having = len(events)
    if isinstance(field, Attribute):
        having = sum(matches(Field(field, Exists()), event) for event in events)
    for event in events:
        if isinstance(field, Attribute):
            values.update(set(texts_at(field.path, event)))
        else:
            values[event.severity if field == "severity" else event.source] += 1
    ranked = sorted(values.items(), key=lambda item: (-item[1], str(item[0])))
    return Facet(field, having, len(ranked), ranked[:most])
