"""Matching takes time that grows with the text alone, and folds letters of ASCII only."""

from __future__ import annotations

import pytest

from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.parse import parse

_LONG = "a" * 100_000


# Each of these would not end within the life of the universe in an engine that tries one way after the other.
@pytest.mark.parametrize(
    "text",
    [
        "/(a+)+b/",
        "/(a|a)*b/",
        "/(a*){50}b/",
        "/" + "(" * 40 + "a" + "+)" * 40 + "b/",
        "host:a*a*a*a*a*a*a*a*b",
        "a*a*a*a*a*a*b*c",
    ],
)
def test_an_expression_that_tries_many_ways_ends(text: str) -> None:
    event = Candidate(0, "s", _LONG, attributes_of(f'{{"host": "{_LONG}"}}'))
    assert matches(parse(text), event) is False


@pytest.mark.parametrize(
    ("text", "message", "found"),
    [
        ("/k/i", "\u212a", False),
        ("/[a-c]x/i", "BX", True),
        ("/[^b]x/i", "Bx", False),
        ("/[^b]x/", "Bx", True),
        ("/é/i", "É", False),
        ("/^a.b$/", "a\nb", True),
        ("/b$/", "b\n", False),
        ("/\\bé/", "é", False),
        ("/(x{40}){40}/", "x" * 1600, True),
        ("/(x{40}){40}/", "x" * 1599, False),
        ("/x{0}y{2,3}$/", "yyy", True),
        ("stra\u00dfe", "STRA\u00dfE", True),
        ("\u00c4rger", "\u00e4rger", False),
    ],
)
def test_letters_lines_and_repetitions(text: str, message: str, found: bool) -> None:
    assert matches(parse(text), Candidate(0, "s", message)) is found
