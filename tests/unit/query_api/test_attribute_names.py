"""The names of attributes: those of a plain evaluation, usable as they are in a filter, and never too many."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from query_api.attribute_names import MOST_NAME_CHARS, AttributeNames
from query_api.attribute_rows import decoded
from query_api.filter_language.expressions import Exists, Field
from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.parse import parse
from query_api.filter_language.written import written_place
from tests.fakes.plain_fields import names_of

KEYS = st.sampled_from(["a", "a.b", "0", "", 'q"k', "\\", "*", "a b", "x:y", "\0", "\ufffd", "ä", "[0]", "AND"])
# Another number is also a place in a list, and is counted only where it is a key.
TEXTS = st.text(max_size=5).filter(lambda key: key == "0" or not re.fullmatch(r"\s*[-+]?\d+\s*", key))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def objects(keys: SearchStrategy[str]) -> SearchStrategy[dict[str, object]]:
    values = st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
    )
    return st.dictionaries(keys, values, max_size=4)


@given(st.lists(objects(KEYS | TEXTS), max_size=5))
def test_names_and_types_are_those_of_a_plain_evaluation_and_find_as_many_events(
    events: list[dict[str, object]],
) -> None:
    texts = [json.dumps(event) for event in events]
    names = AttributeNames()
    for text in texts:
        names.add(decoded(text))
    plain = [attributes_of(text) for text in texts]
    assert names.listed() == names_of(plain)
    assert names.is_exact
    for name in names.listed():
        found = parse(f"{written_place(name.attribute)}:*")
        assert found == Field(name.attribute, Exists())
        assert sum(matches(found, Candidate(0, "", "", event)) for event in plain) == name.events


def test_a_number_is_counted_where_it_is_a_key_and_not_where_it_is_a_place() -> None:
    names = AttributeNames()
    for attributes in ({"a": [False, True]}, {"a": {"-1": False, "1": True}}):
        names.add(attributes)
    listed = {written_place(name.attribute): name.events for name in names.listed()}
    assert listed == {"attributes.a": 2, "attributes.a.-1": 1, "attributes.a.1": 1}


def test_a_million_names_are_bounded_and_the_frequent_ones_still_there() -> None:
    names = AttributeNames(most_names=1_000)
    for n in range(20_000):
        names.add({f"name-{n}": 1, "often": {"inner": n}, f"group-{n % 7}": {str(n): {"deep": 1}}})
        assert names._size <= 1_004
    assert not names.is_exact
    listed = {written_place(name.attribute): name.events for name in names.listed()}
    assert len(listed) <= 1_000
    for name, events in {"attributes.often.inner": 20_000, "attributes.name-19999": 1}.items():
        assert events - names.undercount_at_most <= listed[name] <= events
    # Nearly all of the names were met once: so little is lost of one each time.
    assert names.undercount_at_most < 200


def test_names_that_no_filter_could_hold_are_counted_and_not_listed() -> None:
    names = AttributeNames()
    deep: object = 1
    for _ in range(200):
        deep = {"k": deep}
    for attributes in ({"x" * (MOST_NAME_CHARS + 1): 1}, {'"' * (MOST_NAME_CHARS - 20): 1}, {"a": deep}):
        names.add(attributes)
    assert names.listed() == []
    assert (names.too_long, names.is_exact) == (3, False)
