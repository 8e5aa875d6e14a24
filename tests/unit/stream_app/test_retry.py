"""Waits grow to a ceiling, are jittered, and never end."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from stream_app.retry import Backoff

BACKOFF = Backoff(first_s=0.1, longest_s=2.0, factor=2.0)


@given(attempt=st.integers(1, 10**9), seed=st.integers())
def test_a_wait_lies_between_the_floor_and_the_ceiling(attempt: int, seed: int) -> None:
    assert 0.05 <= BACKOFF.delay_s(attempt, random.Random(seed)) <= 2.0


def test_the_ceiling_doubles_until_the_longest_wait() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return max(a, b)

    assert [BACKOFF.delay_s(attempt, Highest()) for attempt in (1, 2, 3, 5, 6, 100)] == [0.1, 0.2, 0.4, 1.6, 2.0, 2.0]


def test_waits_of_two_workers_differ() -> None:
    assert BACKOFF.delay_s(4, random.Random(1)) != BACKOFF.delay_s(4, random.Random(2))
