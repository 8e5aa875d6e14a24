"""Rules of repeating: bounded in number and time, a server's own wait honoured, never all senders at once."""

from __future__ import annotations

from random import Random

from loadgen.retry import RetryPolicy

POLICY = RetryPolicy(max_attempts=4, max_elapsed_s=10.0, first_delay_s=0.2, max_delay_s=1.0)


def test_it_gives_up_after_the_last_attempt() -> None:
    assert POLICY.delay_s(3, 0.0, None, Random(1)) is not None
    assert POLICY.delay_s(4, 0.0, None, Random(1)) is None


def test_no_attempt_begins_after_the_longest_time() -> None:
    assert POLICY.delay_s(1, 9.95, None, Random(1)) is None
    assert POLICY.delay_s(1, 0.0, 11.0, Random(1)) is None


def test_retry_after_is_waited_for_in_full() -> None:
    rng = Random(1)
    for _ in range(100):
        delay_s = POLICY.delay_s(1, 0.0, 3.0, rng)
        assert delay_s is not None
        assert 3.0 <= delay_s <= 3.3


def test_without_it_the_wait_doubles_up_to_the_longest() -> None:
    longest = [max(POLICY.delay_s(n, 0.0, None, Random(seed)) or 0 for seed in range(200)) for n in (1, 2, 3)]
    assert 0.19 < longest[0] <= 0.2
    assert 0.38 < longest[1] <= 0.4
    patient = RetryPolicy(max_attempts=99, max_elapsed_s=999)
    assert (patient.delay_s(50, 0.0, None, Random(1)) or 0) <= patient.max_delay_s


def test_senders_do_not_come_back_together() -> None:
    assert len({POLICY.delay_s(1, 0.0, 2.0, Random(seed)) for seed in range(20)}) == 20
