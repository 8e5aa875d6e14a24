"""Whether one event is what a filter asks for, in plain Python: what the SQL is held to, for events not yet stored."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from query_api.filter_language.expressions import (
    And,
    Attribute,
    Compared,
    Equals,
    Everything,
    Exists,
    Expression,
    Field,
    Glob,
    Like,
    Matches,
    MessageMatches,
    Network,
    Not,
    Operator,
    Or,
    SeverityIs,
    Source,
    Test,
    Within,
    WordPattern,
    Words,
)
from query_api.filter_language.linear import is_found, is_found_folded, is_whole_folded
from query_api.filter_language.regular_expressions import RegularExpression, literal_for, written_for
from query_api.filter_language.values import (
    ADDRESS,
    ORDER,
    NumberText,
    folded,
    number,
    plain_number,
    word_glob_pattern,
    words_pattern,
)

# Only where the backslash is not itself escaped.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_PLACE: Final = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event: its severity's code, and its attributes decoded by `attributes_of`."""

    severity: int
    source: str
    message: str
    attributes: object = None


def attributes_of(encoded: str | None) -> object:
    """The attributes of an event, for a Candidate. What a text cannot hold in PostgreSQL is another character."""
    if encoded is None:
        return None
    return json.loads(without_nul(encoded), parse_int=NumberText, parse_float=NumberText)


def without_nul(encoded: str) -> str:
    """JSON with another character for each escaped 0, as the SQL of filters has it, also in keys."""
    return _NUL.sub(r"\1\\ufffd", encoded) if "\\u0000" in encoded else encoded


def matches(expression: Expression, event: Candidate) -> bool:
    """Whether the filter selects it."""
    match expression:
        case And(parts):
            return all(matches(part, event) for part in parts)
        case Or(parts):
            return any(matches(part, event) for part in parts)
        case Not(part):
            return not matches(part, event)
        case Everything():
            return True
        case Words(text):
            return is_found_folded(words_pattern(folded(text)), event.message)
        case WordPattern(glob):
            return is_found_folded(word_glob_pattern(_folded(glob)), event.message)
        case MessageMatches(regular):
            return _search(regular, event.message)
        case SeverityIs(codes):
            return event.severity in codes
        case Field(place, test):
            return _holds(place, test, event)


def texts_at(path: tuple[str, ...], event: Candidate) -> list[str]:
    """The values of an attribute as text: itself, or the elements of a list."""
    return list(scalars(value_at(path, event.attributes)))


def _holds(place: Source | Attribute, test: Test, event: Candidate) -> bool:
    found = event.source if isinstance(place, Source) else value_at(place.path, event.attributes)
    if isinstance(test, Exists):
        return found is not None
    return any(_satisfies(text, test) for text in scalars(found))


def value_at(path: tuple[str, ...], found: object) -> object:
    """As PostgreSQL's #>: keys of objects, and places in lists, counted from the end where negative."""
    for key in path:
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and _PLACE.fullmatch(key) and -len(found) <= int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def scalars(found: object) -> Iterator[str]:
    """The value itself as text, or those in a list; objects have none."""
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, bool):
            yield "true" if value else "false"
        elif isinstance(value, NumberText):
            yield value
        elif isinstance(value, str):
            yield value.replace("\0", "\ufffd")
        elif isinstance(value, int):
            yield str(value)


def _satisfies(text: str, test: Test) -> bool:
    match test:
        case Exists():
            return True
        case Equals(values):
            return any(_equal(text, value) for value in values)
        case Compared(sign, bound):
            return _compare(text, sign, bound)
        case Like(glob):
            return is_whole_folded(_whole(_folded(glob)), text)
        case Matches(regular):
            return _search(regular, text)
        case Within(network):
            return _is_within(text, network)


def _equal(text: str, value: str) -> bool:
    ours, theirs = plain_number(text), plain_number(value)
    return folded(text) == folded(value) or (ours is not None and ours == theirs)


def _compare(text: str, sign: Operator, bound: str) -> bool:
    limit = number(bound)
    if limit is None:
        return ORDER[sign](text, bound)
    found = number(text)
    return found is not None and ORDER[sign](found, limit)


def _is_within(text: str, network: Network) -> bool:
    if not re.fullmatch(ADDRESS[network.version], text):
        return False
    try:
        return ip_address(text) in network
    except ValueError:
        return False


def _folded(glob: Glob) -> Glob:
    return Glob(tuple(map(folded, glob.pieces)))


def _whole(glob: Glob) -> str:
    return ".*".join(map(literal_for, glob.pieces))


def _search(regular: RegularExpression, text: str) -> bool:
    return is_found(_written(regular), text)


@functools.lru_cache(maxsize=512)
def _written(regular: RegularExpression) -> str:
    return written_for(regular, "re2")
