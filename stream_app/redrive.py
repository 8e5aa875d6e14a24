"""Sends dead letters again once they can be stored: each keeps the identity of its first place, so that twice is once.

A record without an id, or without a time, would be another event at another offset. So what the worker would have given
it at its first place is written into it: whoever drives it again, after a crash or by mistake, sends the same event.
Policies after Snuba's (https://github.com/getsentry/snuba, `snuba/consumers/dlq.py`).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

import orjson

from ingest_gateway.contract import (
    UNDECODABLE,
    EventLimits,
    decode_record,
    id_of_position,
    moment_of,
    topic_tag,
    unix_us,
)
from stream_app.dead_letter import DeadLetter
from stream_app.fence import Span
from stream_app.prepare import prepare

REDRIVE_HEADER: Final = "threatlog-redrive-of"
_LOG_APPEND_TIME: Final = 1


class Policy(Enum):
    """What is done with a letter that still cannot be stored."""

    STOP_ON_ERROR = "stop-on-error"  # It ends the drive, and stays.
    REINSERT = "reinsert"  # It stays, and the drive goes on.
    DROP_INVALID = "drop-invalid"  # It is put aside, and the drive goes on.


@dataclass(frozen=True, slots=True)
class Sendable:
    """A letter that can be stored now, as it is sent."""

    letter: DeadLetter
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class Outcome:
    """What a drive did, or would do."""

    sent: int = 0
    discarded: int = 0
    # Those that still cannot be stored, with why, and were left where they are.
    left: list[tuple[DeadLetter, str]] = field(default_factory=list)


class Letters(Protocol):
    """The dead letters. Raises StoreUnavailableError."""

    async def settle_redriven(self, letter: DeadLetter, partition: int, offset: int) -> None: ...
    async def settle_discarded(self, letters: Sequence[DeadLetter]) -> None: ...


class Log(Protocol):
    """Kafka. Raises LogUnavailableError."""

    async def send(
        self, value: bytes, key: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class _Record:
    """A letter as the record that it was, for the worker's own judgement."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_type: int = _LOG_APPEND_TIME


def judge(topic: str, letter: DeadLetter, limits: EventLimits) -> Sendable | str:
    """What is sent for a letter; the words why not, where it still cannot be stored."""
    value = with_identity(topic, letter)
    record = _Record(letter.partition, letter.offset, letter.appended_ms, letter.key, value)
    prepared = prepare(topic, [Span(letter.partition, [record])], limits)
    if prepared.dead_letters or value is None:
        return prepared.first_reason()
    place = f"{topic}/{letter.partition}/{letter.offset}".encode()
    headers = [(name, found) for name, found in _headers(letter) if name != REDRIVE_HEADER]
    return Sendable(letter, value, [*headers, (REDRIVE_HEADER, place)])


def with_identity(topic: str, letter: DeadLetter) -> bytes | None:
    """The letter's value with the id, the time and the receipt that its first place gave it, where it has none."""
    value = letter.payload
    try:
        event = decode_record(value or b"")
    except (*UNDECODABLE, ValueError):
        return value
    assert value is not None
    added: dict[str, str] = {}
    appended = moment_of(letter.appended_ms * 1000)
    if event.received_at is None:
        added["received_at"] = appended.isoformat()
    if event.id is None:
        received = event.received_at or appended
        moment = event.timestamp or min(received, appended)
        tag = topic_tag(topic)
        added["id"] = str(_uuid(id_of_position(unix_us(moment), letter.partition, letter.offset, tag)))
        if event.timestamp is None:
            added["timestamp"] = moment.isoformat()
    return value if not added else _with_fields(value, added)


def _uuid(identifier: bytes) -> str:
    text = identifier.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _with_fields(value: bytes, added: dict[str, str]) -> bytes:
    """The object with further fields in front; its own bytes stay as they are."""
    rest = value.lstrip()[1:].lstrip()
    separator = b"" if rest.startswith(b"}") else b","
    return orjson.dumps(added)[:-1] + separator + rest


def _headers(letter: DeadLetter) -> Iterable[tuple[str, bytes | None]]:
    for name, value in orjson.loads(letter.headers or "[]"):
        yield name, None if value is None else b64decode(value)


class Drive:
    """One drive over letters in the order of their places."""

    def __init__(self, topic: str, limits: EventLimits, policy: Policy, letters: Letters, log: Log | None) -> None:
        """Without a `log` nothing is sent or changed: it only says what would be done."""
        self._topic = topic
        self._limits = limits
        self._policy = policy
        self._letters = letters
        self._log = log

    async def run(self, found: Iterable[DeadLetter]) -> Outcome:
        """Drives these. A crash between 1 and 2 sends one of them again, as the same event.

        1. Send it, and wait until Kafka has it.
        2. Note that it was sent, and where.
        """
        outcome, aside = Outcome(), []
        for letter in found:
            judged = judge(self._topic, letter, self._limits)
            if isinstance(judged, Sendable):
                if self._log is not None:
                    place = await self._log.send(judged.value, letter.key, judged.headers)  # 1
                    await self._letters.settle_redriven(letter, *place)  # 2
                outcome.sent += 1
            elif self._policy is Policy.DROP_INVALID:
                aside.append(letter)
            else:
                outcome.left.append((letter, judged))
                if self._policy is Policy.STOP_ON_ERROR:
                    break
        if aside and self._log is not None:
            await self._letters.settle_discarded(aside)
        outcome.discarded = len(aside)
        return outcome
