"""An expression as the condition of a statement: fixed fragments, with all that a client sent as arguments."""

from __future__ import annotations

from typing import Final, Protocol

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
    Leaf,
    Like,
    Matches,
    MessageMatches,
    Network,
    Not,
    Or,
    SeverityIs,
    Test,
    Within,
    WordPattern,
    Words,
)
from query_api.filter_language.regular_expressions import RegularExpression, written_for
from query_api.filter_language.values import (
    ADDRESS,
    NUMBER,
    PLAIN_NUMBER,
    folded,
    number,
    plain_number,
    word_glob_pattern,
    words_pattern,
)

# Only the letters of ASCII have capitals here: with other collations this takes four times as long.
_MESSAGE: Final = 'message COLLATE "C"'
# PostgreSQL has no text for the escaped character 0, and reads no value of attributes that hold it anywhere: another
# character stands for it. Only where the backslash is not itself escaped.
_ATTRIBUTES: Final = (
    r"(CASE WHEN strpos(attributes::text, '\u0000') = 0 THEN attributes ELSE"
    r" regexp_replace(attributes::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::json END)"
)
_SCALARS: Final = "('string', 'number', 'boolean')"


class Arguments(Protocol):
    """Numbers the arguments of a statement."""

    def add(self, value: object) -> str:
        """`$n` for it."""
        ...


def condition(arguments: Arguments, expression: Expression) -> str:
    """A boolean expression over the columns of `logs`, never null; without row conditions also over those of counts."""
    match expression:
        case And(parts):
            return "(" + " AND ".join(condition(arguments, part) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(condition(arguments, part) for part in parts) + ")"
        case Not(part):
            return f"(NOT {condition(arguments, part)})"
        case Everything():
            return "true"
        case leaf:
            return _leaf(arguments, leaf)


def _leaf(arguments: Arguments, leaf: Leaf) -> str:
    match leaf:
        case Words(text):
            return _in_message(arguments, text, words_pattern(text))
        case WordPattern(glob):
            return _in_message(arguments, max(glob.pieces, key=len), word_glob_pattern(glob))
        case MessageMatches(regular):
            return f"{_MESSAGE} {_regular_expression(arguments, regular)}"
        case SeverityIs(codes):
            return f"severity = ANY({arguments.add(list(codes))}::smallint[])"
        case Field(Attribute(path), test):
            return _attribute(arguments, path, test)
        case Field(_, test):
            return _test(arguments, "source", test)


def _in_message(arguments: Arguments, piece: str, pattern: str) -> str:
    """Searching for a text is several times as fast as matching, and nearly every row ends there."""
    has_piece = f"strpos(lower({_MESSAGE}), {arguments.add(folded(piece))}) > 0"
    return f"({has_piece} AND {_MESSAGE} ~* {arguments.add(pattern)})"


def _attribute(arguments: Arguments, path: tuple[str, ...], test: Test) -> str:
    keys = f"{arguments.add(list(path))}::text[]"
    if isinstance(test, Exists):
        return f"coalesce(json_typeof({_ATTRIBUTES} #> {keys}) <> 'null', false)"
    found = f"({_ATTRIBUTES} #> {keys})"
    itself = _test(arguments, f"({_ATTRIBUTES} #>> {keys})", test)
    element = _test(arguments, "(e #>> '{}')", test)
    return (
        f"coalesce(CASE WHEN json_typeof({found}) IN {_SCALARS} THEN {itself} WHEN json_typeof({found}) = 'array' THEN"
        f" EXISTS (SELECT FROM json_array_elements({found}) AS e WHERE json_typeof(e) IN {_SCALARS} AND {element})"
        " END, false)"
    )


def values_of(arguments: Arguments, path: tuple[str, ...]) -> str:
    """A subquery of one column: the value there as text, or those of its elements; no row where there is none."""
    found = f"({_ATTRIBUTES} #> {arguments.add(list(path))}::text[])"
    listed = f"CASE json_typeof({found}) WHEN 'array' THEN {found} ELSE json_build_array({found}) END"
    return f"(SELECT e #>> '{{}}' FROM json_array_elements({listed}) AS e WHERE json_typeof(e) IN {_SCALARS})"  # noqa: S608


def _test(arguments: Arguments, text: str, test: Test) -> str:
    match test:
        case Exists():
            return "true"
        case Equals(values):
            return _equals(arguments, text, values)
        case Compared(sign, bound):
            return _compared(arguments, text, sign, bound)
        case Like(glob):
            return f'lower({text} COLLATE "C") LIKE {arguments.add(_like(glob))}'
        case Matches(regular):
            return f'{text} COLLATE "C" {_regular_expression(arguments, regular)}'
        case Within(network):
            return _within(arguments, text, network)


def _equals(arguments: Arguments, text: str, values: tuple[str, ...]) -> str:
    same = f'lower({text} COLLATE "C") = ANY({arguments.add([folded(value) for value in values])}::text[])'
    numbers = [found for found in map(plain_number, values) if found is not None]
    if not numbers:
        return same
    return f"({same} OR {_as_number(text, PLAIN_NUMBER, f'= ANY({arguments.add(numbers)}::numeric[])')})"


def _compared(arguments: Arguments, text: str, sign: str, bound: str) -> str:
    limit = number(bound)
    if limit is None:
        return f'{text} COLLATE "C" {sign} {arguments.add(bound)}'
    return _as_number(text, NUMBER, f"{sign} {arguments.add(limit)}::numeric")


def _as_number(text: str, written: str, comparison: str) -> str:
    return f"CASE WHEN {text} COLLATE \"C\" ~ '^{written}$' THEN {text}::numeric {comparison} ELSE false END"


def _within(arguments: Arguments, text: str, network: Network) -> str:
    is_address = f"{text} COLLATE \"C\" ~ '^{ADDRESS[network.version]}$' AND pg_input_is_valid({text}, 'inet')"
    return f"CASE WHEN {is_address} THEN {text}::inet <<= {arguments.add(str(network))}::text::inet ELSE false END"


def _like(glob: Glob) -> str:
    escaped = (folded(piece).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for piece in glob.pieces)
    return "%".join(escaped)


def _regular_expression(arguments: Arguments, regular: RegularExpression) -> str:
    return f"{'~*' if regular.ignores_case else '~'} {arguments.add(written_for(regular, 'postgres'))}"
