"""Counts by source as vectors are what dictionaries would be."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from query_api.source_totals import Cells, SourceNames

ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-3, 5)), max_size=8)


def cells_of(names: SourceNames, rows: list[tuple[str, int]]) -> Cells:
    return names.cells([source for source, _ in rows] or None, [n for _, n in rows] or None)


@given(st.lists(st.tuples(ROWS, st.sampled_from([1, -1])), max_size=6), ROWS, st.integers(1, 8))
def test_sums_and_the_largest_are_those_of_a_dictionary(
    parts: list[tuple[list[tuple[str, int]], int]], before: list[tuple[str, int]], most: int
) -> None:
    names, expected = SourceNames(), Counter[str]()
    start = names.total(np.zeros(0, np.int64), [(cells_of(names, before), 1)])
    for rows, sign in [(before, 1), *parts]:
        for source, n in rows:
            expected[source] += sign * n
    found = names.named(names.total(start, [(cells_of(names, rows), sign) for rows, sign in parts]))
    positive = {source: n for source, n in expected.items() if n > 0}
    assert (found.sources, found.events) == (len(positive), sum(positive.values()))
    assert found.largest(most) == sorted(positive.items(), key=lambda one: (-one[1], one[0]))[:most]


def test_a_sum_does_not_change_what_it_began_with() -> None:
    names = SourceNames()
    start = names.total(np.zeros(0, np.int64), [(names.cells(["a", "b"], [1, 2]), 1)])
    names.total(start, [(names.cells(["a"], [5]), 1)])
    assert start.tolist() == [1, 2]
