"""How failed authentications are counted and noted, in bounded memory."""

from __future__ import annotations

from threatlog.access.failures import MAX_FAILURES, WINDOW_S, Failures


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_after_ten_in_a_minute_an_address_waits_until_the_minute_is_over() -> None:
    clock = Clock()
    failures = Failures(clock)
    assert [failures.add("missing_key", "10.0.0.1", "") for _ in range(MAX_FAILURES)] == [0] * MAX_FAILURES
    clock.s += 15
    assert failures.add("missing_key", "10.0.0.1", "") == WINDOW_S - 15
    assert failures.add("missing_key", "10.0.0.2", "") == 0
    clock.s += WINDOW_S
    assert failures.add("missing_key", "10.0.0.1", "") == 0


def test_whoever_tries_one_key_from_many_addresses_waits_too() -> None:
    failures = Failures(Clock())
    waits = [failures.add("bad_key", f"10.0.0.{n}", "abc") for n in range(MAX_FAILURES + 1)]
    assert waits == [*[0] * MAX_FAILURES, WINDOW_S]


def test_the_audit_gets_one_entry_for_each_address_key_and_reason() -> None:
    failures = Failures(Clock())
    for _ in range(3):
        failures.add("bad_key", "10.0.0.1", "abc")
    failures.add("missing_key", "10.0.0.1", "")
    entries = failures.take_entries("gateway")
    assert [(entry.actor, entry.target, dict(entry.detail)) for entry in entries] == [
        ("10.0.0.1", "abc", {"reason": "bad_key", "count": 3, "at": "gateway"}),
        ("10.0.0.1", "no key", {"reason": "missing_key", "count": 1, "at": "gateway"}),
    ]
    assert failures.take_entries("gateway") == []


def test_entries_that_could_not_be_written_are_added_to_the_next_ones() -> None:
    failures = Failures(Clock())
    failures.add("bad_key", "10.0.0.1", "abc")
    entries = failures.take_entries("gateway")
    failures.add("bad_key", "10.0.0.1", "abc")
    failures.put_back(entries)
    assert [entry.detail["count"] for entry in failures.take_entries("gateway")] == [2]


def test_a_flood_from_everywhere_is_counted_in_bounded_memory() -> None:
    failures = Failures(Clock())
    for n in range(30_000):
        failures.add("missing_key", f"address {n}", "")
    entries = failures.take_entries("gateway")
    assert len(entries) <= 1001
    counts = [entry.detail["count"] for entry in entries]
    assert sum(count for count in counts if isinstance(count, int)) == 30_000
