"""Rules of the sample events: the same for the same seed, in order, and stories that hang together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import islice
from random import Random

import msgspec
import pytest

from loadgen.generate import sample_events, spread
from loadgen.scenarios import SampleEvent
from loadgen.seed import SeedRequest, seed_lines

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def events() -> list[tuple[int, SampleEvent]]:
    return list(spread(sample_events(Random(7)), 50_000, 0, HOUR_MS))


def _digest(request: SeedRequest) -> str:
    return hashlib.sha256(b"\n".join(seed_lines(request))).hexdigest()


def test_the_bytes_of_a_seed_stay_what_they_were_when_first_released() -> None:
    request = SeedRequest(count=10_000, seed=7, start_ms=1_767_225_600_000, span_ms=HOUR_MS, with_ids=True)
    assert _digest(request) == "dd502375ee4127d456d393225f3ddf206e7bd20fefb93de14df6ed9c6f5954ac"


def test_another_seed_gives_other_events() -> None:
    first, second = (SeedRequest(100, seed, 0, HOUR_MS, with_ids=False) for seed in (1, 2))
    assert _digest(first) != _digest(second)


def test_ids_do_not_change_the_events() -> None:
    plain, named = (list(seed_lines(SeedRequest(500, 3, 0, HOUR_MS, with_ids=ids))) for ids in (False, True))
    without_ids = [{k: v for k, v in msgspec.json.decode(line).items() if k != "id"} for line in named]
    assert without_ids == [msgspec.json.decode(line) for line in plain]


@pytest.mark.parametrize("count", [1, 2, 1999, 2001, 5000])
def test_any_count_lies_in_order_within_the_span(count: int) -> None:
    times = [unix_ms for unix_ms, _ in spread(sample_events(Random(1)), count, 1000, 60_000)]
    assert len(times) == count
    assert times == sorted(times)
    assert times[0] >= 1000
    assert times[-1] < 61_000


def test_every_severity_and_category_occurs_and_most_events_are_harmless(events: list[tuple[int, SampleEvent]]) -> None:
    severities = Counter(event.severity for _, event in events)
    assert set(severities) == {"INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"}
    assert severities["INFO"] > severities["LOW"] > severities["HIGH"] > severities["CRITICAL"]
    assert {event.attributes["category"] for _, event in events} == {"ssh", "web", "firewall", "ids"}


def test_an_event_is_about_320_bytes_of_json(events: list[tuple[int, SampleEvent]]) -> None:
    average = sum(len(msgspec.json.encode(event)) for _, event in events) / len(events)
    assert 270 < average < 370


def test_whoever_breaks_in_had_guessed_passwords_and_goes_on_to_root(events: list[tuple[int, SampleEvent]]) -> None:
    actions = defaultdict(list)
    for _, event in events:
        if event.attributes.get("category") == "ssh":
            actions[event.attributes["src_ip"]].append(event)
    intrusions = [
        steps for steps in actions.values() if any(step.attributes.get("method") == "password" for step in steps)
    ]
    assert intrusions
    complete = 0
    for steps in intrusions:
        names = [step.attributes["action"] for step in steps]
        assert "login_failed" in names[: names.index("login")]
        assert len({step.source for step in steps}) == 1
        complete += "sudo" in names[names.index("login") :]
    # The last story may be cut off by the end of the list.
    assert complete >= len(intrusions) - 1


def test_a_flood_is_a_burst(events: list[tuple[int, SampleEvent]]) -> None:
    denied = Counter(
        (event.source, event.attributes["dst_ip"])
        for _, event in events
        if event.severity == "MEDIUM" and event.attributes["category"] == "firewall"
    )
    assert max(denied.values()) >= 120


def test_no_address_belongs_to_a_real_host(events: list[tuple[int, SampleEvent]]) -> None:
    reserved = ("198.18.", "198.19.", "10.20.", "2001:db8:")
    addresses = {str(event.attributes["src_ip"]) for _, event in events}
    assert all(address.startswith(reserved) for address in addresses)


def test_the_stream_has_no_end() -> None:
    assert len(list(islice(sample_events(Random(5)), 30_000))) == 30_000
