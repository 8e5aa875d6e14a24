"""Random filters, and random events for which they are neither all true nor all false."""

from __future__ import annotations

import json
from ipaddress import ip_network

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from query_api.filter_language.expressions import (
    EVERYTHING,
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
    SeverityIs,
    Source,
    Within,
    WordPattern,
    Words,
    conjunction,
    disjunction,
    negation,
)
from query_api.filter_language.regular_expressions import regular_expression

WORDS = (
    "failed",
    "Failed",
    "FAIL",
    "root",
    "root2",
    "10.0.0.7",
    "x",
    "ä",
    "Äx",
    "_",
    "100",
    "sshd[7]",
    'a"b',
    "back\\slash",
)
BETWEEN = (" ", ".", ": ", "-", "\n", "")
KEYS = ("user", "ip", "a.b", "n", "0", "-1", 'q"k', "", "tags")
VALUES = (
    *WORDS,
    *("", "true", "null", "1", "1.0", "1e0", "-5", "5", "05", "9007199254740993", "9007199254740992", "1e400"),
    *("10.0.0.7", "10.1.2.3", "010.0.0.7", "10.0.0.7/8", "::1", "2001:db8::7", "1::2::3", "2026-11-24T10:00:00Z"),
    *("a\0b", "100%", "a_b", "AND", "*", "a,b", "/x/", "\\u0000"),
)
NETWORKS = ("10.0.0.0/8", "10.0.0.7/32", "0.0.0.0/0", "2001:db8::/32", "::/0")
EXPRESSIONS = (
    *("root", "^root", "root$", "[a-f]+ai", r"\bfail", r"\d+\.\d", "fail|10", "(?:ro{2}t)+2?", r"^\S+$"),
    *(r"[^\d\s]{3,}", "ä", r"\x2e", r"[\u00e4A-C\]\-]", ".x", r"a\"b", r"back\\slash", r"\W\w", "(|x)$"),
    *("a*?b", r"\Bo", r"[$^.|]", r"a\/b", "[^a]", "[^A-Z]{2}"),
)
_REGULAR = st.builds(
    lambda text, ignores: regular_expression(text, ignores_case=ignores), st.sampled_from(EXPRESSIONS), st.booleans()
)
_TEXT = st.sampled_from([value for value in VALUES if "\0" not in value])


def _globs(pieces: tuple[str, ...]) -> SearchStrategy[Glob]:
    inner = st.lists(st.sampled_from([piece for piece in pieces if piece]), max_size=2)
    made = st.builds(
        lambda first, middle, last: Glob((first, *middle, last)),
        st.sampled_from(pieces),
        inner,
        st.sampled_from(pieces),
    )
    return made.filter(lambda glob: any(glob.pieces))


_TESTS = st.one_of(
    st.builds(Equals, st.lists(_TEXT, min_size=1, max_size=3).map(tuple)),
    st.builds(Compared, st.sampled_from([">", ">=", "<", "<="]), _TEXT),
    st.builds(Like, _globs(("", "fail", "AI", "10.", "%", "_", "a\\", "=x:"))),
    st.builds(Matches, _REGULAR),
    st.builds(Within, st.sampled_from(NETWORKS).map(ip_network)),
)
_ATTRIBUTES = st.builds(Attribute, st.lists(st.sampled_from(KEYS), min_size=1, max_size=3).map(tuple))
_LEAVES: SearchStrategy[Expression] = st.one_of(
    st.builds(Words, st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join)),
    st.builds(WordPattern, _globs(("", "fail", "FA", "10.0", "t", "ä", "ss.d"))),
    st.builds(MessageMatches, _REGULAR),
    st.builds(SeverityIs, st.sets(st.integers(0, 4), min_size=1, max_size=4).map(lambda codes: tuple(sorted(codes)))),
    st.builds(Field, st.just(Source()), _TESTS),
    st.builds(Field, _ATTRIBUTES, st.one_of(st.just(Exists()), _TESTS)),
    st.just(EVERYTHING),
)


def _combined(inner: SearchStrategy[Expression]) -> SearchStrategy[Expression]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(parts.map(conjunction), parts.map(disjunction), inner.map(negation))


expressions: SearchStrategy[Expression] = st.recursive(_LEAVES, _combined, max_leaves=6)

_NUMBERS = st.sampled_from(["1", "1.0", "-5", "5e0", "9007199254740993", "0.1", "1e400", "100"])


def _encoded(value: object) -> str:
    """JSON, with numbers as they are written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}: {_encoded(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_encoded, value)) + "]"
    return value[1] if isinstance(value, tuple) else json.dumps(value)


_SCALARS = st.one_of(st.sampled_from(VALUES), _NUMBERS.map(lambda text: ("number", text)), st.booleans(), st.none())
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
# Encoded objects; None where an event has no attributes.
attributes = st.none() | st.dictionaries(st.sampled_from(KEYS), _JSON, max_size=4).map(_encoded)
messages = st.lists(st.sampled_from(WORDS + BETWEEN), max_size=5).map("".join)
sources = st.sampled_from(("root", "Failed", "10.0.0.7", "fail-1", "x"))
