"""What a filter says, as frozen values: which events, never how they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal

from query_api.filter_language.regular_expressions import RegularExpression

Network = IPv4Network | IPv6Network
Operator = Literal[">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class Everything:
    """Every event; `NotExpression(Everything())` is none."""


@dataclass(frozen=True, slots=True)
class And:
    """Events of all parts, of which there are at least two."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Events of any part, of which there are at least two."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """All other events."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Glob:
    """Text with stars: the `pieces` between them, of which there are at least two, in this order."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """The message has this text, beginning and ending where a word does, in capitals or not."""

    text: str


@dataclass(frozen=True, slots=True)
class WordPattern:
    """The message has such words; a star is any number of characters of a word."""

    glob: Glob


@dataclass(frozen=True, slots=True)
class MessageMatches:
    """Some part of the message matches."""

    expression: RegularExpression


@dataclass(frozen=True, slots=True)
class SeverityIs:
    """One of these codes, sorted."""

    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The name of the source, as a place to look at."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value in the attributes, by the keys that lead to it; a number is also a place in a list."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """It is there, and not null."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The whole value is one of these texts, in capitals or not, or the same number, written without an exponent."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """Number with number where `bound` is one, else text with text, character by character."""

    operator: Operator
    bound: str


@dataclass(frozen=True, slots=True)
class Like:
    """The whole value has this shape; a star is any text."""

    glob: Glob


@dataclass(frozen=True, slots=True)
class Matches:
    """Some part of the value matches."""

    expression: RegularExpression


@dataclass(frozen=True, slots=True)
class Within:
    """It is an address of this network."""

    network: Network


Test = Exists | Equals | Compared | Like | Matches | Within


@dataclass(frozen=True, slots=True)
class Field:
    """The place holds such a value; of a list, one of its elements is such a value."""

    place: Source | Attribute
    test: Test


# Of one row: what only its message and attributes can say. Of its cell: what its severity and source say.
RowLeaf = Words | WordPattern | MessageMatches
Leaf = RowLeaf | SeverityIs | Field
Expression = Everything | And | Or | Not | Words | WordPattern | MessageMatches | SeverityIs | Field

EVERYTHING: Final = Everything()
NOTHING: Final = Not(EVERYTHING)


def conjunction(parts: tuple[Expression, ...]) -> Expression:
    """All of them, as few nodes as will do."""
    flat = _flat(And, parts)
    if NOTHING in flat:
        return NOTHING
    kept = tuple(part for part in flat if part != EVERYTHING)
    return And(kept) if len(kept) > 1 else kept[0] if kept else EVERYTHING


def disjunction(parts: tuple[Expression, ...]) -> Expression:
    """Any of them, as few nodes as will do."""
    flat = _flat(Or, parts)
    if EVERYTHING in flat:
        return EVERYTHING
    kept = tuple(part for part in flat if part != NOTHING)
    return Or(kept) if len(kept) > 1 else kept[0] if kept else NOTHING


def negation(part: Expression) -> Expression:
    """The others; twice is the same again."""
    return part.part if isinstance(part, Not) else Not(part)


def _flat(kind: type[And] | type[Or], parts: tuple[Expression, ...]) -> tuple[Expression, ...]:
    return tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,)))


def leaves(expression: Expression) -> Iterator[Leaf]:
    """Each condition in it."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case Everything():
            return
        case leaf:
            yield leaf
