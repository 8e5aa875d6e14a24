"""An expression as the text that is read as the same expression again."""

from __future__ import annotations

import re
from typing import Final

from ingest_gateway.contract import SEVERITIES
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
    Not,
    Or,
    SeverityIs,
    Source,
    Test,
    Within,
    WordPattern,
    Words,
)
from query_api.filter_language.regular_expressions import RegularExpression

_OPERATORS: Final = ("AND", "OR", "NOT")
_PLAIN: Final = re.compile(r"[\w.@][\w.@-]*")
_WORD: Final = re.compile(r"\w[\w.@-]*")
_KEY: Final = re.compile(r"[\w@$#-]+")


def written(expression: Expression) -> str:
    """The text, in one form for each meaning: what is equal is written alike."""
    match expression:
        case Or(parts):
            return " OR ".join(_inner(part, Or) for part in parts)
        case And(parts):
            return " ".join(_inner(part, And) for part in parts)
        case Not(part):
            return f"-{_inner(part, Not)}"
        case Everything():
            return "*"
        case Words(text):
            return text if _WORD.fullmatch(text) and text not in _OPERATORS else _quoted(text)
        case WordPattern(glob):
            return _written_glob(glob)
        case MessageMatches(regular):
            return _written_regular_expression(regular)
        case SeverityIs(codes):
            return f"severity:{','.join(SEVERITIES[code] for code in reversed(codes))}"
        case Field(place, test):
            return f"{written_place(place)}{_written_test(test)}"


def _inner(part: Expression, around: type[And] | type[Or] | type[Not]) -> str:
    """In parentheses where it would be read otherwise."""
    text = written(part)
    is_looser = isinstance(part, Or) or (isinstance(part, And) and around is not Or)
    return f"({text})" if is_looser else text


def written_place(place: Source | Attribute) -> str:
    """The name of a field."""
    if isinstance(place, Source):
        return "source"
    return "attributes" + "".join(f".{key if _KEY.fullmatch(key) else _quoted(key)}" for key in place.path)


def _written_test(test: Test) -> str:
    match test:
        case Exists():
            return ":*"
        case Equals(values):
            return f":{','.join(map(_value, values))}"
        case Compared(operator, bound):
            return f"{operator}{_value(bound)}"
        case Like(glob):
            return f":{_written_glob(glob)}"
        case Matches(regular):
            return f":{_written_regular_expression(regular)}"
        case Within(network):
            return f":{network}"


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """Backslashes are doubled where one would be read together with what follows."""
    inner = re.sub(r'(\\(?=["\\]|\Z)|")', r"\\\1", text)
    return f'"{inner}"'


def _written_glob(glob: Glob) -> str:
    return "*".join(glob.pieces)


def _written_regular_expression(regular: RegularExpression) -> str:
    return f"/{regular.text}/{'i' if regular.ignores_case else ''}"
