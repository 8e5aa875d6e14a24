"""What is written is read again as the same, and what cannot be read says where and why."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from query_api.filter_language.errors import FilterError
from query_api.filter_language.expressions import (
    EVERYTHING,
    NOTHING,
    And,
    Attribute,
    Compared,
    Equals,
    Exists,
    Expression,
    Field,
    Glob,
    Like,
    MessageMatches,
    Not,
    Or,
    SeverityIs,
    Source,
    Within,
    WordPattern,
    Words,
)
from query_api.filter_language.parse import MAX_CHARS, parse
from query_api.filter_language.regular_expressions import regular_expression
from query_api.filter_language.written import written
from tests.filter_expressions import expressions

USER = Attribute(("user", "name"))


@settings(max_examples=500, deadline=None)
@given(expressions)
def test_what_is_written_is_read_as_the_same(expression: Expression) -> None:
    assert parse(written(expression)) == expression


_ODD = st.lists(st.sampled_from([*'ab"/\\*:<>=!,()-. 5[]', "AND ", "OR ", "a:"]), max_size=20).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | _ODD)
def test_any_text_is_a_filter_that_is_written_as_the_same_or_an_error_inside_it(text: str) -> None:
    position, expression = _read(text)
    assert 0 <= position <= len(text)
    assert parse(written(expression)) == expression


def _read(text: str) -> tuple[int, Expression]:
    try:
        return 0, parse(text)
    except FilterError as error:
        return error.position, EVERYTHING


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("", EVERYTHING),
        ("*", EVERYTHING),
        ("failed", Words("failed")),
        ('"failed password"', Words("failed password")),
        ("a b", And((Words("a"), Words("b")))),
        ("a AND b", And((Words("a"), Words("b")))),
        ("a OR b c", Or((Words("a"), And((Words("b"), Words("c")))))),
        ("(a OR b) c", And((Or((Words("a"), Words("b"))), Words("c")))),
        ("-a", Not(Words("a"))),
        ("NOT a", Not(Words("a"))),
        ("NOTE", Words("NOTE")),
        ("- -a", Words("a")),
        ("10:22:33", Words("10:22:33")),
        ("C\\D", Words("C\\D")),
        ('"a\\"b\\\\c\\d"', Words('a"b\\c\\d')),
        ("fail*", WordPattern(Glob(("fail", "")))),
        ("*,", WordPattern(Glob(("", ",")))),
        ("a:*,b", Or((Field(Attribute(("a",)), Equals(("b",))), Field(Attribute(("a",)), Exists())))),
        ("*a**b*", WordPattern(Glob(("", "a", "b", "")))),
        ("/a\\/b/i", MessageMatches(regular_expression("a\\/b", ignores_case=True))),
        ("severity:high", SeverityIs((3,))),
        ("severity:CRITICAL,warning", SeverityIs((2, 4))),
        ("severity>=HIGH", SeverityIs((3, 4))),
        ("severity:*", EVERYTHING),
        ("severity<INFO", NOTHING),
        ("source:web-1", Field(Source(), Equals(("web-1",)))),
        ("source:web-*", Field(Source(), Like(Glob(("web-", ""))))),
        ("source:*", EVERYTHING),
        ("message:x", Words("x")),
        ('message:"x y",z*', Or((Words("x y"), WordPattern(Glob(("z", "")))))),
        ("user.name:root", Field(USER, Equals(("root",)))),
        ("user.name=root", Field(USER, Equals(("root",)))),
        ("attributes.user.name : root , admin", Field(USER, Equals(("root", "admin")))),
        ("user.name!=root", Not(Field(USER, Equals(("root",))))),
        ("user.name:*", Field(USER, Exists())),
        ("user.name>=-5", Field(USER, Compared(">=", "-5"))),
        ('attributes.message:""', Field(Attribute(("message",)), Equals(("",)))),
        ('a."b.c"[2].3:x', Field(Attribute(("a", "b.c", "2", "3")), Equals(("x",)))),
        ("@timestamp<2026", Field(Attribute(("@timestamp",)), Compared("<", "2026"))),
        ("ip:10.1.2.3/8", Field(Attribute(("ip",)), Within(ip_network("10.0.0.0/8")))),
        ("ip:2001:db8::/32", Field(Attribute(("ip",)), Within(ip_network("2001:db8::/32")))),
        ('ip:"10.0.0.0/8"', Field(Attribute(("ip",)), Equals(("10.0.0.0/8",)))),
        ("time:12:30:05", Field(Attribute(("time",)), Equals(("12:30:05",)))),
        ("path:C:\\x", Field(Attribute(("path",)), Equals(("C:\\x",)))),
    ],
)
def test_a_filter_means(text: str, expression: Expression) -> None:
    assert parse(text) == expression


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("a:", 2, "a value belongs here"),
        ("a (b", 4, "a closing parenthesis is missing"),
        ("a OR", 4, "a condition is missing"),
        ("a)", 1, "no parenthesis is open"),
        ("()", 1, "nothing stands in it"),
        ("a AND OR b", 6, 'as a word it is "OR"'),
        ('say "hello', 4, "a quote is missing"),
        ('a"b"c', 0, "goes in quotes"),
        ("http://x/y z", 5, "a value belongs here"),
        ("x severity:urgent", 11, "severity is one of CRITICAL, HIGH, MEDIUM, LOW, INFO"),
        ("severity:hi*", 9, "severity is one of"),
        ("x ip:10.0.0.0/33", 5, "is no network"),
        ("n>=1,2", 3, "takes one number or one text"),
        ("n>=*", 3, "takes one number or one text"),
        ("message>x", 0, "it takes message:"),
        ("attributes:x", 0, "needs a key"),
        ("source.name:x", 0, "attributes.source"),
        ('x "  "', 2, "nothing to look for"),
        ("x /a(b/", 6, "does not fit here in a regular expression"),
        ("x /a", 2, "goes in quotes"),
        ("x /(a)\\1/", 6, "does not fit here"),
        ("x:/a{9}{9}/", 7, "does not fit here"),
        ("x:/[b-a]/", 5, "upside down"),
        ("/(a{200}){200}/", 1, "repeats too much"),
        ("/a{2,1}/", 2, "does not count up"),
        ("a\0b", 1, "no event holds the character 0"),
        ("a" * (MAX_CHARS + 1), MAX_CHARS, "at most 2000 characters"),
        (" ".join("a" * 65), 0, "at most 64 conditions"),
        ("(a (b OR " * 13 + "c" + "))" * 13, 0, "levels deep"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(text: str, position: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.position == position
    assert words in str(caught.value)


def test_a_thousand_negations_are_one_or_none() -> None:
    assert parse("-" * 1001 + "a") == Not(Words("a"))
