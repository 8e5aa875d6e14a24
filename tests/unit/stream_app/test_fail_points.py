"""Where a worker fails on purpose, and that a wrong word for it is told."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.fail_points import AFTER_COMMIT, BEFORE_COMMIT, VARIABLE, fail_point_of
from stream_app.outcomes import ConfigurationFaultError


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}])
def test_unset_there_is_none(environ: dict[str, str]) -> None:
    assert fail_point_of(environ) is None


@pytest.mark.parametrize(
    "text", ["somewhere:exit", "after_postgres_commit", "after_postgres_commit:stop", f"{AFTER_COMMIT}:exit@0"]
)
def test_a_wrong_one_is_told_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigurationFaultError, match=f"{VARIABLE} is '{text}'; allowed: before_postgres_commit"):
        fail_point_of({VARIABLE: text})


async def test_it_waits_at_its_own_place_the_nth_time_and_once() -> None:
    point = fail_point_of({VARIABLE: f"{AFTER_COMMIT}:pause=30@2"})
    assert point is not None
    await point.reach(BEFORE_COMMIT)
    await point.reach(AFTER_COMMIT)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(point.reach(AFTER_COMMIT), 0.05)
    await point.reach(AFTER_COMMIT)
