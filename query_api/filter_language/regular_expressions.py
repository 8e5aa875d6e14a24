"""Regular expressions that PostgreSQL and RE2 understand alike: checked, bounded, and written anew for each.

What is not in the grammar is refused: back references and looks around, since their cost has no bound; classes by name
and possessive quantifiers, since the two differ. Letters are those of ASCII in `\\w`, `\\b` and where case is ignored.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from query_api.filter_language.errors import FilterError

# PostgreSQL refuses more repetitions, and needs memory for each; see "Regular Expression Limits" in its manual.
_MOST_REPEATED: Final = 255
_MOST_STATES: Final = 2_000
_MOST_CHARS: Final = 1_000
_GRAMMAR: Final = Path(__file__).with_name("regular_expression.lark")
_CONTROL: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_SHORTHANDS: Final = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\r"), (" ", " ")),
}
Engine = Literal["postgres", "re2"]


@dataclass(frozen=True, slots=True)
class RegularExpression:
    """As it was written, without the slashes. Made by `regular_expression`, which checks it."""

    text: str
    ignores_case: bool


@dataclass(frozen=True, slots=True)
class _Anchor:
    kind: str


@dataclass(frozen=True, slots=True)
class _Set:
    """One character of these ranges, or of none of them. Any character: none of no range."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class _Repeated:
    node: _Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class _Alternation:
    sequences: tuple[tuple[_Node, ...], ...]


_Node = _Anchor | _Set | _Repeated | _Alternation


def regular_expression(text: str, *, ignores_case: bool) -> RegularExpression:
    """The checked expression. Raises FilterError, with the place in this text."""
    if len(text) > _MOST_CHARS:
        raise FilterError(f"a regular expression has at most {_MOST_CHARS} characters", _MOST_CHARS)
    if (states := _states(_parsed(text))) > _MOST_STATES:
        raise FilterError(
            f"this regular expression repeats too much: {states} characters when written out, of {_MOST_STATES}", 0
        )
    return RegularExpression(text, ignores_case)


def written_for(expression: RegularExpression, engine: Engine) -> str:
    """The text for that engine. PostgreSQL wants it with COLLATE "C", and folds letters; in RE2's they are folded."""
    node = _parsed(expression.text)
    return _emit(node, "postgres") if engine == "postgres" else _emit_for_re2(node, folds=expression.ignores_case)


@functools.cache
def _parser() -> Lark:
    return Lark(_GRAMMAR.read_text(encoding="utf-8"), parser="lalr", lexer="contextual", maybe_placeholders=False)


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> _Node:
    try:
        node: _Node = _Nodes().transform(_parser().parse(text))
    except UnexpectedToken as error:
        raise _misfit(text, len(text) if error.token.type == "$END" else error.token.start_pos or 0) from None
    except UnexpectedCharacters as error:
        raise _misfit(text, error.pos_in_stream or 0) from None
    except VisitError as error:
        if isinstance(error.orig_exc, FilterError):
            raise error.orig_exc from None
        raise
    return node


def _misfit(text: str, position: int) -> FilterError:
    found = repr(text[position]) if position < len(text) else "the end"
    return FilterError(f"{found} does not fit here in a regular expression", position)


class _Nodes(Transformer[Token, _Node]):
    """Lark's tree as nodes."""

    def start(self, children: list[_Node]) -> _Node:
        return children[0]

    def alternation(self, children: list[tuple[_Node, ...]]) -> _Node:
        return _Alternation(tuple(children))

    def sequence(self, children: list[_Node]) -> tuple[_Node, ...]:
        return tuple(children)

    def atom(self, children: list[_Node]) -> _Node:
        return children[-1]  # Behind the opening parenthesis.

    def anchor(self, children: list[Token]) -> _Node:
        return _Anchor(children[0][-1])

    def dot(self, _children: list[Token]) -> _Node:
        return _Set((), is_negated=True)

    def character(self, children: list[Token]) -> _Node:
        one = _character(children[0])
        return _Set(((one, one),))

    def one(self, children: list[Token]) -> _Node:
        return self.character(children)

    def shorthand(self, children: list[Token]) -> _Node:
        letter = children[0][-1]
        return _Set(_SHORTHANDS[letter.lower()], is_negated=letter.isupper())

    def range(self, children: list[_Set | Token]) -> _Node:
        (first, _), (last, _) = (child.ranges[0] for child in children if isinstance(child, _Set))
        dash = next(child for child in children if isinstance(child, Token))
        if first > last:
            raise FilterError(f"the range {first}-{last} is upside down", dash.start_pos or 0)
        return _Set(((first, last),))

    def set(self, children: list[_Set | Token]) -> _Node:
        opening, *members = children
        sets = [member for member in members if isinstance(member, _Set)]
        if any(member.is_negated for member in sets):
            raise FilterError("\\D, \\W and \\S do not go into brackets", _start(opening))
        return _Set(tuple(pair for member in sets for pair in member.ranges), is_negated=opening == "[^")

    def repeated(self, children: list[_Node | Token]) -> _Node:
        node, quantifier = children
        assert isinstance(quantifier, Token)
        assert not isinstance(node, Token)
        # Whether it is greedy makes no difference to whether it matches.
        least, most = _bounds(quantifier)
        if least > _MOST_REPEATED or (most is not None and (most > _MOST_REPEATED or most < least)):
            raise FilterError(
                f"{quantifier} does not count up from 0 to at most {_MOST_REPEATED}", quantifier.start_pos or 0
            )
        return _Repeated(node, least, most)


def _start(child: _Node | Token) -> int:
    return (child.start_pos or 0) if isinstance(child, Token) else 0


def _bounds(quantifier: str) -> tuple[int, int | None]:
    simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if quantifier[0] in simple:
        return simple[quantifier[0]]
    least, comma, most = quantifier.rstrip("?").strip("{}").partition(",")
    return int(least), (int(most) if most else None) if comma else int(least)


def _character(token: Token) -> str:
    if token[0] != "\\":
        return str(token)
    if token[1] in "xu" and len(token) > 2:
        code = int(token[2:], 16)
        if not code or 0xD800 <= code < 0xE000:
            raise FilterError(f"{token} is no character that an event can hold", token.start_pos or 0)
        return chr(code)
    return _CONTROL.get(token[1], token[1])


def _states(node: _Node) -> int:
    """How long it is when repetitions are written out, which is what PostgreSQL does."""
    match node:
        case _Alternation(sequences):
            return 1 + sum(_states(part) for sequence in sequences for part in sequence)
        case _Repeated(part, least, most):
            return _states(part) * max(least, most or 1, 1)
        case _:
            return 1


def _emit(node: _Node, engine: Engine) -> str:
    match node:
        case _Alternation(sequences):
            inner = "|".join("".join(_emit(part, engine) for part in sequence) for sequence in sequences)
            return f"(?:{inner})"
        case _Repeated(part, least, most):
            return f"{_emit(part, engine)}{{{least},{'' if most is None else most}}}"
        case _Set((), is_negated=True):
            return "."
        case _Set(((first, last),), is_negated=False) if first == last:
            return _escaped(first)
        case _Set(ranges, is_negated):
            return f"[{'^' if is_negated else ''}{''.join(_written_ranges(ranges))}]"
        case _Anchor(kind):
            return _ANCHORS[engine][kind]


def _emit_for_re2(node: _Node, *, folds: bool) -> str:
    match node:
        case _Alternation(sequences):
            inner = ("".join(_emit_for_re2(part, folds=folds) for part in sequence) for sequence in sequences)
            return f"(?:{'|'.join(inner)})"
        case _Repeated(part, least, most):
            return _repeated(f"(?:{_emit_for_re2(part, folds=folds)})", least, most)
        case _Set(ranges, is_negated) if folds and ranges:
            return _emit(_Set(tuple(_both_cases(ranges)), is_negated), "re2")
        case _:
            return _emit(node, "re2")


def _repeated(part: str, least: int, most: int | None) -> str:
    """Written out, as long as `_states` says: RE2 refuses repetitions that are more than a thousand together."""
    if most is None:
        return f"{part * (least - 1)}{part}+" if least else f"{part}*"
    optional = most - least
    return f"{part * least}{f'(?:{part}' * optional}{')?' * optional}"


def _both_cases(ranges: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    """These, and the same letters of ASCII in the other case."""
    for first, last in ranges:
        yield first, last
        for low, high, shift in (("A", "Z", 32), ("a", "z", -32)):
            begin, end = max(first, low), min(last, high)
            if begin <= end:
                yield chr(ord(begin) + shift), chr(ord(end) + shift)


def _written_ranges(ranges: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for first, last in ranges:
        yield _escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}"


# Each is the very beginning or end, whatever lines there are.
_ANCHORS: Final = {
    "postgres": {"^": "^", "$": "$", "b": r"\y", "B": r"\Y"},
    "re2": {"^": r"\A", "$": r"\z", "b": r"\b", "B": r"\B"},
}


def _escaped(character: str) -> str:
    """A form that means the character itself in both, in brackets and outside."""
    if character.isascii() and character.isalnum():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def literal_for(text: str) -> str:
    """A regular expression, for both, that matches just this text."""
    return "".join(map(_escaped, text))
