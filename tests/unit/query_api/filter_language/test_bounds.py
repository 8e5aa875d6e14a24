"""What counts can say of a filter is never less than the filter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from query_api.filter_language.bounds import asks_for_source, is_of_cells, widened
from query_api.filter_language.expressions import Expression
from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.parse import parse
from query_api.filter_language.written import written
from tests.filter_expressions import attributes, expressions, messages, sources


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("failed", "*"),
        ("-failed", "*"),
        ("severity:HIGH failed", "severity:HIGH"),
        ("severity:HIGH OR failed", "*"),
        ("severity:HIGH -(source:a OR failed)", "severity:HIGH -source:a"),
        ("-(severity:HIGH failed)", "*"),
        ("-(severity:HIGH OR failed) source:a", "-severity:HIGH source:a"),
        ("(source:a x) OR (source:b y)", "source:a OR source:b"),
        ("severity:HIGH source:web-*", "severity:HIGH source:web-*"),
        ("severity<INFO failed", "-*"),
    ],
)
def test_the_narrowest_filter_of_severity_and_source_is(text: str, wide: str) -> None:
    assert written(widened(parse(text))) == wide


@settings(max_examples=300, deadline=None)
@given(expressions, st.integers(0, 4), sources, messages, attributes)
def test_it_leaves_nothing_out(
    expression: Expression, severity: int, source: str, message: str, encoded: str | None
) -> None:
    wide = widened(expression)
    event = Candidate(severity, source, message, attributes_of(encoded))
    assert is_of_cells(wide)
    assert not is_of_cells(expression) or wide == expression
    assert matches(wide, event) or not matches(expression, event)


def test_who_asks_for_a_source() -> None:
    assert asks_for_source(parse("severity:HIGH -(x source:a)"))
    assert not asks_for_source(parse("severity:HIGH attributes.source:a"))
