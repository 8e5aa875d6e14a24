"""What values are compared by, in Python and in PostgreSQL alike: letters, words, numbers and addresses."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from query_api.filter_language.expressions import Glob, Operator
from query_api.filter_language.regular_expressions import literal_for

# Characters that end a word: those of ASCII that are neither letter, digit nor underscore. All others are letters here.
BETWEEN_WORDS: Final = r"\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f"
_ENDS_WORD: Final = re.compile(f"[{BETWEEN_WORDS}]")
# Bounded, so that each fits PostgreSQL's numeric; its own input takes more than JSON has.
NUMBER: Final = r"-?[0-9]{1,255}(?:\.[0-9]{1,255})?(?:[eE][+-]?[0-9]{1,3})?"
_NUMBER: Final = re.compile(NUMBER)
# What is compared for being equal: written otherwise, the number would not have the word by which it is found.
PLAIN_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,254})(?:\.[0-9]{1,255})?"
_PLAIN_NUMBER: Final = re.compile(PLAIN_NUMBER)
_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
# Without leading zeros, which some read as octal, and without a length: an address, not a network.
ADDRESS: Final = {4: rf"{_OCTET}(?:\.{_OCTET}){{3}}", 6: "[0-9A-Fa-f]*:[0-9A-Fa-f:]*"}
ORDER: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_CAPITALS: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class NumberText(str):
    """A number of JSON as it was written."""

    __slots__ = ()


def folded(text: str) -> str:
    """Small letters for the capitals of ASCII, as PostgreSQL's lower() with COLLATE "C"; no other ones."""
    return text.translate(_CAPITALS)


def number(text: str) -> Decimal | None:
    """The exact number, where the text is one as JSON writes them."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def plain_number(text: str) -> Decimal | None:
    """The exact number, where the text is one without exponent and leading zeros."""
    return Decimal(text) if _PLAIN_NUMBER.fullmatch(text) else None


def words_pattern(text: str) -> str:
    """A regular expression, for both: the text, where its first and its last word are whole ones."""
    return _bordered((text,))


def word_glob_pattern(glob: Glob) -> str:
    """A regular expression, for both: words of this shape."""
    return _bordered(glob.pieces)


def _bordered(pieces: tuple[str, ...]) -> str:
    inner = f"[^{BETWEEN_WORDS}]*".join(map(literal_for, pieces))
    # Beside a star a word goes on as it likes, and beside what is no part of a word there is no border to look for.
    before = f"(?:^|[{BETWEEN_WORDS}])" if _begins_inside(pieces[0]) else ""
    after = f"(?:$|[{BETWEEN_WORDS}])" if _begins_inside(pieces[-1][::-1]) else ""
    return f"{before}{inner}{after}"


def _begins_inside(text: str) -> bool:
    return bool(text) and not _ENDS_WORD.match(text)
