"""The circuit: who is silent is not asked again and again."""

from __future__ import annotations

from query_api.circuit import Circuit
from tests.unit.query_api.builders import Clock


def test_it_is_closed_at_first() -> None:
    circuit = Circuit(Clock())
    assert circuit.is_closed
    assert circuit.may_ask()


def test_a_failure_opens_it_for_a_second() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.failed()
    clock.now_s += 0.99
    assert not circuit.may_ask()
    assert not circuit.is_closed


def test_after_a_second_one_question_is_let_through() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.failed()
    clock.now_s += 1.0
    assert [circuit.may_ask(), circuit.may_ask()] == [True, False]


def test_its_success_closes_and_its_failure_opens_again() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.failed()
    clock.now_s += 1.0
    circuit.may_ask()
    circuit.failed()
    assert not circuit.may_ask()
    clock.now_s += 1.0
    circuit.may_ask()
    circuit.succeeded()
    assert circuit.may_ask()
    assert circuit.is_closed


def test_a_question_that_never_came_back_does_not_keep_it_open_for_ever() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.failed()
    clock.now_s += 1.0
    circuit.may_ask()
    clock.now_s += 1.0
    assert circuit.may_ask()
