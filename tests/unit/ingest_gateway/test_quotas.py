"""Quotas of keys, and places for requests, under a clock that tests move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.producer_accounts import ProducerAccounts
from ingest_gateway.quotas import RequestPolicy, Requests
from tests.unit.ingest_gateway.gateway_client import EVENT, assert_problem, make_gateway
from tests.unit.threatlog.access.key_bench import KeyBench
from threatlog.access.caller import ANONYMOUS, Caller, Quota, Scope
from threatlog.process.problems import Problem
from threatlog.process.settings import Limits


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.s = 50.0

    def __call__(self) -> float:
        return self.s


def requests(clock: Clock, quota: Quota | None = None, at_once: int = 10, of_a_key: int = 5) -> Requests:
    return Requests(RequestPolicy(at_once, of_a_key, quota or Quota()), clock, ProducerAccounts())


def caller(quota: Quota | None = None, key_id: str = "k") -> Caller:
    return Caller(key_id, "web", frozenset({Scope.INGEST}), None, quota or Quota())


def send(all_requests: Requests, who: Caller, events: int = 1, size_bytes: int = 100) -> Problem | None:
    """One request from its begin to its end; why it was refused."""
    try:
        with all_requests.begin(who) as place:
            place.charge(events, size_bytes)
    except Problem as problem:
        return problem
    return None


@pytest.mark.parametrize(("quota", "unit"), [(Quota(10, None), "10 events"), (Quota(None, 1000), "1000 bytes")])
def test_a_key_sends_its_second_s_worth_and_is_told_when_to_come_again(quota: Quota, unit: str) -> None:
    clock = Clock()
    gate = requests(clock)
    assert [send(gate, caller(quota)) for _ in range(10)] == [None] * 10
    refused = send(gate, caller(quota))
    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after_s) == (429, "quota_exceeded", 1)
    assert f"may send {unit} a second" in refused.detail
    clock.s += 1
    assert send(gate, caller(quota)) is None


def test_a_request_larger_than_a_second_s_worth_passes_and_is_paid_for_by_the_next() -> None:
    clock = Clock()
    gate, who = requests(clock), caller(Quota(100, None))
    assert send(gate, who, events=1000) is None
    refused = send(gate, who)
    assert refused is not None
    assert refused.retry_after_s == 10
    clock.s += 8
    assert send(gate, who) is not None
    clock.s += 2
    assert send(gate, who) is None


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 500)), max_size=60))
def test_over_any_time_a_key_sends_no_more_than_its_rate_and_one_request(steps: list[tuple[float, int]]) -> None:
    clock, rate = Clock(), 100.0
    gate, who, began, sent, largest = requests(clock), caller(Quota(rate, None)), 50.0, 0, 0
    for pause_s, events in steps:
        clock.s += pause_s
        if send(gate, who, events=events) is None:
            sent += events
            largest = max(largest, events)
        assert sent <= rate * (1 + clock.s - began) + largest


def test_whoever_waits_as_told_is_let_in() -> None:
    clock = Clock()
    gate, who = requests(clock), caller(Quota(7, None))
    for events in (3, 29, 5, 100, 1):
        refused = send(gate, who, events=events)
        if refused is not None:
            assert refused.retry_after_s is not None
            clock.s += refused.retry_after_s
            assert send(gate, who, events=events) is None


def test_keys_do_not_share_what_they_may_send_and_their_own_quota_goes_before_the_general_one() -> None:
    gate = requests(Clock(), Quota(2, None))
    assert [send(gate, caller(key_id="a")) is None for _ in range(3)] == [True, True, False]
    assert [send(gate, caller(key_id="b")) is None for _ in range(3)] == [True, True, False]
    assert [send(gate, caller(Quota(4, None), "c")) is None for _ in range(5)] == [True] * 4 + [False]


def test_a_quota_that_was_changed_holds_from_the_next_request_on() -> None:
    gate = requests(Clock())
    assert [send(gate, caller(Quota(1, None))) is None for _ in range(2)] == [True, False]
    assert send(gate, caller(Quota(5, None))) is None


def test_without_a_key_there_is_no_quota() -> None:
    gate = requests(Clock(), Quota(1, 1))
    assert [send(gate, ANONYMOUS, events=1000) for _ in range(5)] == [None] * 5


def test_one_key_cannot_take_all_places_and_all_together_no_more_than_there_are() -> None:
    gate = requests(Clock(), at_once=4, of_a_key=2)
    places = [gate.begin(caller(key_id="a")) for _ in range(3)]
    for place in places[:2]:
        place.__enter__()
    with pytest.raises(Problem) as refused:
        places[2].__enter__()
    assert (refused.value.status, refused.value.code) == (429, "quota_exceeded")
    others = [gate.begin(caller(key_id=name)) for name in "bcd"]
    for place in others[:2]:
        place.__enter__()
    with pytest.raises(Problem) as refused:
        others[2].__enter__()
    assert (refused.value.status, refused.value.code) == (503, "too_many_requests")
    places[0].__exit__(None, None, None)
    with gate.begin(caller(key_id="a")):
        assert gate.in_flight == 4
    assert gate.in_flight == 3


async def test_a_request_over_the_quota_is_429_and_another_key_goes_on() -> None:
    keys = KeyBench()
    limits = Limits(key_events_per_second=2)
    greedy, modest = await keys.key(), await keys.key()
    gateway = make_gateway(limits=limits, keys=keys.watch)
    batch = {"logs": [EVENT] * 50}

    async def post(key: str) -> int:
        answer = await gateway.http.post(
            "/api/v1/logs/ingest/batch", json=batch, headers={"Authorization": f"Bearer {key}"}
        )
        if answer.status_code != 201:
            problem = assert_problem(answer, 429, "quota_exceeded")
            assert problem["may_be_stored"] is False
            assert int(answer.headers["retry-after"]) >= 20
        return answer.status_code

    assert [await post(greedy) for _ in range(3)] == [201, 429, 429]
    assert await post(modest) == 201
    assert len(gateway.publisher.values) == 100
