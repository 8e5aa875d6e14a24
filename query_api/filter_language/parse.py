"""Text to an expression; where it is none, an error that points at the character."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from query_api.filter_language.errors import FilterError
from query_api.filter_language.expressions import (
    EVERYTHING,
    And,
    Expression,
    Glob,
    MessageMatches,
    Not,
    Or,
    WordPattern,
    conjunction,
    disjunction,
    leaves,
    negation,
)
from query_api.filter_language.fields import Shape, Value, condition, unquoted, words
from query_api.filter_language.regular_expressions import (
    RegularExpression,
    regular_expression,
)

MAX_CHARS: Final = 2_000
_MOST_CONDITIONS: Final = 64
_MOST_LEVELS: Final = 24
_GRAMMAR: Final = Path(__file__).with_name("filter.lark")
_QUOTING: Final = 'text with other characters than those of a word goes in quotes, as in "a (b)"'
_VALUE: Final = 'a value belongs here: text, "text", /expression/, a network such as 10.0.0.0/8, or *'
_OPERATORS: Final = ("AND", "OR")
_Children = list[Expression]


def parse(text: str) -> Expression:
    """The expression that the text is; no text is everything. Raises FilterError."""
    if len(text) > MAX_CHARS:
        raise FilterError(f"a filter has at most {MAX_CHARS} characters", MAX_CHARS)
    if "\0" in text:
        raise FilterError("no event holds the character 0", text.index("\0"))
    try:
        expression: Expression = _parser().parse(text)  # type: ignore[assignment] # The transformer's, not a tree.
    except UnexpectedToken as error:
        is_end = error.token.type == "$END"
        raise _explained(text, len(text) if is_end else error.token.start_pos or 0, error.expected) from None
    except UnexpectedCharacters as error:
        raise _explained(text, error.pos_in_stream or 0, error.allowed or set()) from None
    if sum(1 for _ in leaves(expression)) > _MOST_CONDITIONS:
        raise FilterError(f"a filter has at most {_MOST_CONDITIONS} conditions", 0)
    return expression


@functools.cache
def _parser() -> Lark:
    grammar = _GRAMMAR.read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False, transformer=_Builder())


def _explained(text: str, position: int, expected: Collection[str]) -> FilterError:
    """What stands there, and what could: one of the terminals `expected`."""
    if position >= len(text):
        return FilterError(f"the filter ends here: {_missing(expected)}", len(text))
    found = text[position : position + 20].split(maxsplit=1)[0]
    return FilterError(f"{found!r} cannot be read here: {_wanted(expected, found)}", position)


def _missing(expected: Collection[str]) -> str:
    if "WORD" in expected:
        return "a condition is missing, such as a word, field:value or a group in parentheses"
    return _VALUE if "PLAIN_VALUE" in expected else "a closing parenthesis is missing"


def _wanted(expected: Collection[str], found: str) -> str:
    if "PLAIN_VALUE" in expected and "WORD" not in expected:
        return _VALUE
    if found.startswith(")"):
        return "no parenthesis is open, or nothing stands in it"
    if found in _OPERATORS:
        return f'it joins two conditions; as a word it is "{found}"'
    return "a quote is missing" if found.count('"') % 2 else _QUOTING


class _Builder(Transformer[Token, Expression]):
    """Makes the expression while the text is read."""

    def start(self, children: _Children) -> Expression:
        return children[0] if children else EVERYTHING

    def any(self, children: _Children) -> Expression:
        return _within_levels(disjunction(tuple(children)))

    def all(self, children: _Children) -> Expression:
        return _within_levels(conjunction(tuple(children)))

    def negated(self, children: _Children) -> Expression:
        return negation(children[-1])

    def everything(self, _children: list[Token]) -> Expression:
        return EVERYTHING

    def word(self, children: list[Token]) -> Expression:
        return words(str(children[0]), children[0].start_pos or 0)

    def phrase(self, children: list[Token]) -> Expression:
        return words(unquoted(children[0]), children[0].start_pos or 0)

    def word_glob(self, children: list[Token]) -> Expression:
        glob = _glob(children[0])
        return WordPattern(glob) if any(glob.pieces) else EVERYTHING

    def regex(self, children: list[Token]) -> Expression:
        return MessageMatches(_regular_expression(children[0]))

    def field(self, children: list[Token | Value | Shape]) -> Expression:
        name, *values = children
        assert isinstance(name, Token)
        return condition(str(name), name.start_pos or 0, [value for value in values if not isinstance(value, Token)])

    def plain(self, children: list[Token]) -> Value:
        return Value("plain", str(children[0]), children[0].start_pos or 0)

    def quoted(self, children: list[Token]) -> Value:
        return Value("quoted", unquoted(children[0]), children[0].start_pos or 0)

    def any_value(self, children: list[Token]) -> Value:
        return Value("any", "*", children[0].start_pos or 0)

    def value_glob(self, children: list[Token]) -> Value | Shape:
        glob = _glob(children[0])
        return Shape(glob, children[0].start_pos or 0) if any(glob.pieces) else self.any_value(children)

    def value_regex(self, children: list[Token]) -> Shape:
        return Shape(_regular_expression(children[0]), children[0].start_pos or 0)


def _glob(token: Token) -> Glob:
    """Stars next to each other are one."""
    first, *rest = token.split("*")
    inner = [piece for piece in rest[:-1] if piece]
    return Glob((first, *inner, rest[-1]))


def _regular_expression(token: Token) -> RegularExpression:
    content, _, flag = token[1:].rpartition("/")
    try:
        return regular_expression(content, ignores_case=flag == "i")
    except FilterError as error:
        raise FilterError(str(error), (token.start_pos or 0) + 1 + error.position) from None


def _within_levels(expression: Expression) -> Expression:
    if _levels(expression, _MOST_LEVELS + 1) > _MOST_LEVELS:
        raise FilterError(f"parentheses and negations go at most {_MOST_LEVELS} levels deep", 0)
    return expression


def _levels(expression: Expression, most: int) -> int:
    """How deep it is, looked at `most` deep."""
    match expression:
        case And(parts) | Or(parts) if most:
            return 1 + max(_levels(part, most - 1) for part in parts)
        case Not(part) if most:
            return 1 + _levels(part, most - 1)
        case _:
            return 1
