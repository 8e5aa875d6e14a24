"""Which dead letters are sent again, as what, and what becomes of the others."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from ingest_gateway.contract import EventLimits, decode_record
from stream_app.dead_letter import DeadLetter
from stream_app.fence import Span
from stream_app.prepare import prepare
from stream_app.redrive import REDRIVE_HEADER, Drive, Outcome, Policy, Sendable, judge, with_identity
from tests.fakes.kafka_records import FakeRecord

TOPIC, APPENDED_MS = "events", 1_767_225_600_123
EVENT = {"severity": "HIGH", "source": "web-01", "message": "m" * 100}
TIGHT, WIDE = EventLimits(max_message_bytes=10), EventLimits()


def letter(body: object, offset: int = 7, headers: str | None = None) -> DeadLetter:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DeadLetter(3, offset, "message_too_large", "too large", b"k", payload, APPENDED_MS, headers)


class Table:
    """Where letters are settled."""

    def __init__(self) -> None:
        self.redriven: dict[int, tuple[int, int]] = {}
        self.discarded: list[int] = []

    async def settle_redriven(self, letter: DeadLetter, partition: int, offset: int) -> None:
        self.redriven[letter.offset] = (partition, offset)

    async def settle_discarded(self, letters: Sequence[DeadLetter]) -> None:
        self.discarded += [one.offset for one in letters]


class Log:
    """A topic that takes everything."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes | None, Sequence[tuple[str, bytes | None]]]] = []

    async def send(
        self, value: bytes, key: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> tuple[int, int]:
        self.sent.append((value, key, headers))
        return 0, len(self.sent)


def stored_as(offset: int, value: bytes, appended_ms: int) -> tuple[int, bytes, int]:
    """Time, id and receipt of the row that a worker makes of a record."""
    found = prepare(TOPIC, [Span(3, [FakeRecord(offset, value, None, appended_ms)])], WIDE)
    [row] = found.rows
    return row.ts_us, row.id, row.received_us


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"timestamp": "2026-11-24T10:00:00+02:00"},
        {"id": "01a20d0d-ae4b-7c3e-9f0a-5b1d2c3e4f50"},
        {"id": "5b0f9f1e-0c5b-4b0e-8a51-2f9a6b1c7d3e", "timestamp": "2026-11-24T10:00:00Z"},
        {"received_at": "2025-12-31T23:00:00Z"},
        {"received_at": "2099-12-31T23:00:00Z"},
    ],
)
def test_wherever_it_comes_to_lie_it_is_the_event_of_its_first_place(own: dict[str, str]) -> None:
    first = letter({**EVENT, **own})
    assert first.payload is not None
    value = with_identity(TOPIC, first)
    assert value is not None
    here = stored_as(first.offset, first.payload, APPENDED_MS)
    there = stored_as(900_000, value, APPENDED_MS + 86_400_000)
    assert there[:2] == here[:2]
    if own.get("received_at") != "2099-12-31T23:00:00Z":  # a receipt from the future is believed nowhere
        assert there == here
    event, sent = decode_record(first.payload), decode_record(value)
    assert (sent.source, sent.message, sent.severity) == (event.source, event.message, event.severity)


def test_its_own_bytes_stay_as_they_are() -> None:
    body = b' { "message":"x" , "severity":"LOW","source":"s","attributes":{"a":1e2, "b":"\\u00e9"} } '
    value = with_identity(TOPIC, letter(body))
    assert value is not None
    assert value.endswith(body.lstrip()[1:].lstrip())
    assert json.loads(value)["attributes"] == {"a": 100.0, "b": "é"}


def test_headers_stay_and_say_where_it_lay() -> None:
    kept = json.dumps([["trace", base64.b64encode(b"\xff").decode()], ["none", None], [REDRIVE_HEADER, "YQ=="]])
    judged = judge(TOPIC, letter(EVENT, headers=kept), WIDE)
    assert isinstance(judged, Sendable)
    assert judged.headers == [("trace", b"\xff"), ("none", None), (REDRIVE_HEADER, b"events/3/7")]


@pytest.mark.parametrize("payload", [b"", b"no json", b"\xff\xfe", b"[]", b'{"severity":"LOUD"}', b"{" * 5000])
def test_what_is_no_event_stays_none_and_its_words_say_why(payload: bytes) -> None:
    assert with_identity(TOPIC, letter(payload)) == payload
    assert judge(TOPIC, letter(payload), WIDE)
    assert isinstance(judge(TOPIC, letter(payload), WIDE), str)


async def driven(policy: Policy, *, dry: bool = False) -> tuple[Outcome, Table, Log]:
    """Two good letters around a bad one."""
    table, log = Table(), Log()
    letters = [letter(EVENT, 1), letter({**EVENT, "severity": "LOUD"}, 2), letter(EVENT, 3)]
    return await Drive(TOPIC, WIDE, policy, table, None if dry else log).run(letters), table, log


async def test_stop_on_error_ends_at_the_first_that_cannot_be_stored() -> None:
    outcome, table, log = await driven(Policy.STOP_ON_ERROR)
    assert (outcome.sent, outcome.discarded, [one.offset for one, _ in outcome.left]) == (1, 0, [2])
    assert (table.redriven, table.discarded, len(log.sent)) == ({1: (0, 1)}, [], 1)
    assert "LOUD" in outcome.left[0][1]


async def test_reinsert_leaves_it_and_goes_on() -> None:
    outcome, table, _ = await driven(Policy.REINSERT)
    assert (outcome.sent, [one.offset for one, _ in outcome.left]) == (2, [2])
    assert (set(table.redriven), table.discarded) == ({1, 3}, [])


async def test_drop_invalid_puts_it_aside_and_goes_on() -> None:
    outcome, table, _ = await driven(Policy.DROP_INVALID)
    assert (outcome.sent, outcome.discarded, outcome.left) == (2, 1, [])
    assert (set(table.redriven), table.discarded) == ({1, 3}, [2])


@pytest.mark.parametrize("policy", Policy)
async def test_a_dry_run_says_the_same_and_does_nothing(policy: Policy) -> None:
    outcome, table, log = await driven(policy, dry=True)
    real, _, _ = await driven(policy)
    assert (outcome.sent, outcome.discarded, len(outcome.left)) == (real.sent, real.discarded, len(real.left))
    assert (table.redriven, table.discarded, log.sent) == ({}, [], [])


def test_a_limit_that_was_raised_makes_a_letter_sendable() -> None:
    assert isinstance(judge(TOPIC, letter(EVENT), TIGHT), str)
    assert isinstance(judge(TOPIC, letter(EVENT), WIDE), Sendable)
    assert datetime.fromtimestamp(APPENDED_MS / 1000, UTC).year == 2026
