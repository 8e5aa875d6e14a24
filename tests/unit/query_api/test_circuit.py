"""The circuit: who is silent is not asked again and again."""

from __future__ import annotations

from query_api.circuit import FAILURES, OPEN_S, SUCCESS_COUNTS_S, Circuit
from tests.unit.query_api.builders import Clock


def opened(clock: Clock) -> Circuit:
    circuit = Circuit(clock)
    for _ in range(FAILURES):
        circuit.failed()
    return circuit


def test_it_is_closed_at_first() -> None:
    circuit = Circuit(Clock())
    assert circuit.is_closed
    assert circuit.may_ask()


def test_fewer_failures_than_three_in_a_row_leave_it_closed() -> None:
    circuit = Circuit(Clock())
    for _ in range(FAILURES - 1):
        circuit.failed()
    assert circuit.is_closed
    circuit.succeeded()
    circuit.failed()
    assert circuit.may_ask()


def test_no_number_of_failures_opens_it_while_a_success_is_young() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.succeeded()
    clock.now_s += SUCCESS_COUNTS_S - 0.01
    for _ in range(100):
        circuit.failed()
    assert circuit.is_closed
    clock.now_s += 0.02
    circuit.failed()
    assert not circuit.is_closed


def test_three_failures_open_it_for_a_second() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now_s += OPEN_S - 0.01
    assert not circuit.may_ask()
    assert not circuit.is_closed


def test_after_a_second_one_question_is_let_through() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now_s += OPEN_S
    assert [circuit.may_ask(), circuit.may_ask()] == [True, False]


def test_its_success_closes_and_its_failure_opens_again() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now_s += OPEN_S
    circuit.may_ask()
    circuit.failed()
    assert not circuit.may_ask()
    clock.now_s += OPEN_S
    circuit.may_ask()
    circuit.succeeded()
    assert circuit.may_ask()
    assert circuit.is_closed


def test_a_question_that_never_came_back_does_not_keep_it_open_for_ever() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now_s += OPEN_S
    circuit.may_ask()
    clock.now_s += OPEN_S
    assert circuit.may_ask()
