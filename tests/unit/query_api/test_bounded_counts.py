"""Counts in bounded memory never say too much, and say by how much they may say too little."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from query_api.bounded_counts import MOST_VALUE_CHARS, BoundedCounts

LONG = "x" * (MOST_VALUE_CHARS + 1)


@given(st.lists(st.tuples(st.integers(0, 30) | st.integers(), st.integers(1, 5)), max_size=200))
def test_each_count_is_between_what_is_said_and_that_with_what_may_be_missing(added: list[tuple[int, int]]) -> None:
    counts = BoundedCounts(most_chars=1_000)
    plain: Counter[str] = Counter()
    for value, n in added:
        counts.add(str(value), n)
        plain[str(value)] += n
    largest = dict(counts.largest(1_000))
    assert counts.total == plain.total()
    assert counts.kept == sum(largest.values())
    assert counts.distinct_at_least <= len(plain)
    for text, n in plain.items():
        assert largest.get(text, 0) <= n <= largest.get(text, 0) + counts.undercount_at_most
    if counts.is_exact:
        assert largest == plain


def test_a_frequent_value_is_found_among_a_million_rare_ones() -> None:
    counts = BoundedCounts(most_chars=200_000)
    for n in range(300_000):
        counts.add(f"rare-{n}")
        if n % 100 == 0:
            counts.add("often")
    assert counts.largest(1)[0][0] == "often"
    assert counts.undercount_at_most <= 300_000 * 110 // 100_000 + 1
    assert counts.distinct_at_least > 1_000
    assert counts.forgotten > 290_000


def test_long_values_are_counted_and_not_kept() -> None:
    counts = BoundedCounts()
    counts.add(LONG, 3)
    counts.add("x")
    assert (counts.largest(5), counts.total, counts.forgotten, counts.is_exact) == ([("x", 1)], 4, 3, False)
    assert counts.undercount_at_most == 0
