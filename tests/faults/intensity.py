"""How hard the fault tests strike: briefly with every test run, long and often with `make faults`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest


class VoidRunError(AssertionError):
    """The fault did not really strike, so the run shows nothing, neither good nor bad."""


def struck(evidence: object, what: str) -> None:
    """Holds that the fault happened. Raises VoidRunError."""
    if not evidence:
        raise VoidRunError(f"VOID: {what}")


@dataclass(slots=True)
class Intensity:
    """One run of one fault: how long, how often, by which chance; and what was seen, for the report."""

    full: bool
    seed: int
    say: Callable[[str, object], None]
    rng: Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)

    def pick(self, short: int, full: int) -> int:
        """A number of repetitions, or of seconds."""
        return full if self.full else short

    def saw(self, words: str) -> None:
        """Notes a figure for the report."""
        self.say("seen", words)
        print(words)


def row(identifier: str) -> pytest.MarkDecorator:
    """Marks a test as showing one row of the matrix in docs/resiliency.md."""
    return pytest.mark.fault(identifier)
