"""Rules of a run's ids: version 7, readable back, different for every number, none of another run's."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.identity import RunIdentity, scattered


@given(st.integers(0, (1 << 26) - 1), st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 48) - 1))
def test_an_id_tells_its_run_number_and_time(tag: int, unix_ms: int, number: int) -> None:
    identifier = UUID(RunIdentity(tag).event_id(unix_ms, number))
    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
    assert identifier.int >> 80 == unix_ms
    assert RunIdentity(tag).number_of(identifier) == number


def test_ids_of_another_run_are_not_taken_for_our_own() -> None:
    identifier = UUID(RunIdentity(1).event_id(1_790_000_000_000, 5))
    assert RunIdentity(2).number_of(identifier) is None
    assert RunIdentity(1).number_of(uuid4()) is None


def test_numbers_are_scattered_without_collision() -> None:
    assert len({scattered(number) for number in range(100_000)}) == 100_000


@pytest.mark.parametrize("tag", [-1, 1 << 26])
def test_a_tag_that_does_not_fit_is_refused(tag: int) -> None:
    with pytest.raises(ValueError, match="26 bits"):
        RunIdentity(tag)
