"""The conditions on a field: its name, its operator and its values to an expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, Literal, cast

from ingest_gateway.contract import SEVERITIES, SEVERITY_CODES, RejectedEventError, severity_of
from query_api.filter_language.errors import FilterError
from query_api.filter_language.expressions import (
    EVERYTHING,
    NOTHING,
    Attribute,
    Compared,
    Equals,
    Exists,
    Expression,
    Field,
    Glob,
    Like,
    Matches,
    MessageMatches,
    Network,
    Operator,
    SeverityIs,
    Source,
    Test,
    Within,
    WordPattern,
    Words,
    disjunction,
    negation,
)
from query_api.filter_language.regular_expressions import RegularExpression
from query_api.filter_language.values import ORDER

ATTRIBUTES: Final = "attributes"
# What a name means of itself; an attribute of this name is `attributes.` and it.
OWN_NAMES: Final = ("severity", "source", "message", ATTRIBUTES)
_NAME: Final = re.compile(r"(.*?)\s*(>=|<=|!=|[:><=])", re.DOTALL)
_KEYS: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|\[(-?\d+)\]|([^."\[\]]+)', re.DOTALL)
# What is surely meant as a network: four numbers, or groups with colons, and a length.
_NETWORK: Final = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)/\d{1,3}")


@dataclass(frozen=True, slots=True)
class Value:
    """One value behind an operator, without its quotes; `position` is where it begins."""

    kind: Literal["plain", "quoted", "any"]
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A value with stars, or a regular expression."""

    content: Glob | RegularExpression
    position: int


def unquoted(token: str) -> str:
    """The text in quotes: \\" and \\\\ are one character, every other backslash is itself."""
    return re.sub(r'\\(["\\])', r"\1", token[1:-1])


def condition(name: str, position: int, values: Sequence[Value | Shape]) -> Expression:
    """The expression of one field with its operator, as in `user.name:` or `bytes>=`. Raises FilterError."""
    matched = _NAME.fullmatch(name)
    assert matched is not None, name
    path, sign = _keys(matched[1]), matched[2]
    if sign in ORDER:
        return _compared(path, cast("Operator", sign), position, values)
    found = _any_of(path, position, values)
    return negation(found) if sign == "!=" else found


def _keys(name: str) -> tuple[str, ...]:
    return tuple(
        unquoted(f'"{quoted}"') if not place and not bare else place or bare
        for quoted, place, bare in _KEYS.findall(name)
    )


def _compared(path: tuple[str, ...], sign: Operator, position: int, values: Sequence[Value | Shape]) -> Expression:
    value = values[0]
    if len(values) > 1 or not isinstance(value, Value) or value.kind == "any":
        raise FilterError(f"{sign} takes one number or one text", value.position)
    if path == ("severity",):
        return _severities(code for code in range(len(SEVERITIES)) if ORDER[sign](code, _severity(value)))
    if path == ("message",):
        raise FilterError(f"the message cannot be compared by {sign}; it takes message:", position)
    return Field(_place(path, position), Compared(sign, value.text))


def _any_of(path: tuple[str, ...], position: int, values: Sequence[Value | Shape]) -> Expression:
    if path == ("severity",):
        return EVERYTHING if _has_any(values) else _severities(_severity(value) for value in values)
    if path == ("message",):
        return disjunction(tuple(_in_message(value) for value in values))
    place = _place(path, position)
    if isinstance(place, Source) and _has_any(values):
        return EVERYTHING
    tests = [_test(value) for value in values]
    # Plain values are one condition, however many there are.
    texts = tuple(value for test in tests if isinstance(test, Equals) for value in test.values)
    others: list[Test] = [test for test in tests if not isinstance(test, Equals)]
    equal: list[Test] = [Equals(texts)] if texts else []
    return disjunction(tuple(Field(place, test) for test in equal + others))


def _has_any(values: Sequence[Value | Shape]) -> bool:
    return any(isinstance(value, Value) and value.kind == "any" for value in values)


def _place(path: tuple[str, ...], position: int) -> Source | Attribute:
    if path == ("source",):
        return Source()
    if path == (ATTRIBUTES,):
        raise FilterError("attributes needs a key, as in attributes.user.name:root", position)
    if path[0] in OWN_NAMES and path[0] != ATTRIBUTES:
        raise FilterError(f"{path[0]} has no keys; an attribute of this name is attributes.{path[0]}", position)
    return Attribute(path[1:] if path[0] == ATTRIBUTES else path)


def _test(value: Value | Shape) -> Test:
    if isinstance(value, Shape):
        return Like(value.content) if isinstance(value.content, Glob) else Matches(value.content)
    if value.kind == "any":
        return Exists()
    network = _network(value)
    return Equals((value.text,)) if network is None else Within(network)


def _in_message(value: Value | Shape) -> Expression:
    if isinstance(value, Shape):
        return WordPattern(value.content) if isinstance(value.content, Glob) else MessageMatches(value.content)
    return EVERYTHING if value.kind == "any" else words(value.text, value.position)


def words(text: str, position: int) -> Words:
    """Text to find in the message. Raises FilterError."""
    if not text.strip():
        raise FilterError("there is nothing to look for in these quotes", position)
    return Words(text)


def _severity(value: Value | Shape) -> int:
    text = value.text if isinstance(value, Value) else "*"
    try:
        return SEVERITY_CODES[severity_of(text)]
    except RejectedEventError:
        raise FilterError(f"severity is one of {', '.join(reversed(SEVERITIES))}", value.position) from None


def _severities(codes: Iterable[int]) -> Expression:
    found = tuple(sorted(set(codes)))
    return NOTHING if not found else EVERYTHING if len(found) == len(SEVERITIES) else SeverityIs(found)


def _network(value: Value) -> Network | None:
    """The network that it names; in quotes it is text."""
    if value.kind != "plain" or not _NETWORK.fullmatch(value.text):
        return None
    try:
        return ip_network(value.text, strict=False)
    except ValueError:
        problem = f"{value.text} is no network, as 10.0.0.0/8 is one; in quotes it is text"
        raise FilterError(problem, value.position) from None
