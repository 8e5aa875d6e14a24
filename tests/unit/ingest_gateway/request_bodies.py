"""What the tests of request bodies share: one event, a size, and what a call refuses a body with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from threatlog.process.problems import Problem

EVENT = b'{"severity":"LOW","source":"s","message":"m"}'
MIB = 1 << 20


def problem_of(call: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the problem that a call raises."""
    with pytest.raises(Problem) as refusal:
        call()
    return refusal.value.status, refusal.value.code
