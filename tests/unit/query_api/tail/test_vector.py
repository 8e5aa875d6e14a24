"""Vectors of offsets as text, and where one leads in Kafka as it is now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_api.tail.losses import placed
from query_api.tail.vector import BadVectorError, parsed, written

VECTORS = st.dictionaries(st.integers(0, 99_999), st.integers(0, 10**18 - 1), min_size=1, max_size=40)
BOUNDS = st.dictionaries(
    st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (min(pair), max(pair)))
)


@given(VECTORS)
def test_what_was_written_is_read_as_the_same(vector: dict[int, int]) -> None:
    assert parsed(written(vector)) == vector


@pytest.mark.parametrize(
    "text", ["", "0", "0:", ":1", "0:1,", "0:-1", "0:1 ,1:2", "0:1,0:2", "0:1e3", "a:1", "0:" + "9" * 19]
)
def test_what_is_no_vector_is_refused(text: str) -> None:
    with pytest.raises(BadVectorError):
        parsed(text)


@given(st.dictionaries(st.integers(0, 6), st.integers(0, 60)), BOUNDS, st.integers(0, 120))
def test_every_record_is_read_told_to_be_gone_or_told_to_be_passed(
    wanted: dict[int, int], bounds: dict[int, tuple[int, int]], most: int
) -> None:
    found = placed(wanted, bounds, most)
    assert found.positions.keys() == bounds.keys()
    assert all(first <= found.positions[partition] <= end for partition, (first, end) in bounds.items())
    same = {p: wanted.get(p, first) for p, (first, end) in bounds.items() if wanted.get(p, first) <= end}
    assert found.made_anew == (len(same) < len(bounds))
    starts = {p: same.get(p, first) for p, (first, _) in bounds.items()}
    left = sum(bounds[p][1] - found.positions[p] for p in bounds)
    assert sum(bounds[p][1] - start for p, start in starts.items()) == left + found.gone + found.behind
    assert left <= most
    assert bool(found.behind) == bool(found.passed_from)
