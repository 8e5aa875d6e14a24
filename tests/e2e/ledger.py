"""The account of a run: every event that was issued, what became of it, and whether the stored rows agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID

_SHOWN = 5


class Fate(IntEnum):
    """What the sender knows of an event. A higher one is never lowered: an acknowledgement stays one."""

    ISSUED = 0
    REFUSED = 1
    UNKNOWN = 2  # a time-out, a reset or a 503 that does not deny it: it may be stored once, or not at all
    ACKED = 3


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event as it is to be stored. None for `timestamp` or `id` where the receiver chooses.

    `severity` is the canonical one; `attributes` is the JSON text as sent, or None.
    """

    severity: str
    source: str
    text: str
    timestamp: datetime | None = None
    attributes: str | None = None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of the table, as read back."""

    id: UUID
    timestamp: datetime
    severity: str
    source: str
    message: str
    attributes: str | None


@dataclass(slots=True)
class _Entry:
    event: SentEvent
    message: str
    fate: Fate = Fate.ISSUED
    id: UUID | None = None


@dataclass(slots=True)
class Findings:
    """What is wrong; all empty when the account is clean."""

    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    refused_but_stored: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.missing, self.doubled, self.phantom, self.refused_but_stored, self.different))

    def __str__(self) -> str:
        lists = {name: getattr(self, name) for name in self.__slots__}
        return "; ".join(f"{len(found)} {name}: {found[:_SHOWN]}" for name, found in lists.items() if found) or "clean"


class Ledger:
    """Events are known by their number, which stands at the beginning of their message."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._bad: dict[bytes, Fate] = {}

    def issue(self, event: SentEvent) -> tuple[str, str]:
        """Notes an event about to be sent. Returns its number and the message to send."""
        number = f"no-{len(self._entries)}"
        message = f"{number} {event.text}"
        self._entries[number] = _Entry(event, message, id=event.id)
        return number, message

    def settle(self, number: str, fate: Fate, identifier: UUID | None = None) -> None:
        """Notes what became of an event; `identifier` is the id an acknowledgement named."""
        entry = self._entries[number]
        entry.fate = max(entry.fate, fate)
        if identifier is not None:
            assert entry.id in (None, identifier), f"{number} was answered the ids {entry.id} and {identifier}"
            entry.id = identifier

    def settle_bad(self, payload: bytes, fate: Fate) -> None:
        """Notes a record produced straight to Kafka that can be no event; `payload` is unique."""
        self._bad[payload] = max(self._bad.get(payload, Fate.ISSUED), fate)

    def count(self, fate: Fate) -> int:
        """How many events have this fate."""
        return sum(entry.fate is fate for entry in self._entries.values())

    def fates(self) -> list[tuple[str, Fate]]:
        """Each event's number with what is known of it."""
        return [(number, entry.fate) for number, entry in self._entries.items()]

    @property
    def bad_acked(self) -> int:
        """How many bad records Kafka has acknowledged."""
        return sum(fate is Fate.ACKED for fate in self._bad.values())

    def summary(self) -> str:
        """The counts by fate, for the log of a test."""
        fates = Counter(entry.fate.name for entry in self._entries.values())
        return ", ".join(f"{count} {name.lower()}" for name, count in sorted(fates.items()))

    def compare(self, rows: Iterable[StoredRow]) -> Findings:
        """Holds the stored rows to the account: acknowledged ones once, others at most once, nothing else."""
        findings = Findings()
        seen: Counter[str] = Counter()
        ids: Counter[UUID] = Counter()
        for row in rows:
            number = row.message.split(" ", 1)[0]
            seen[number] += 1
            ids[row.id] += 1
            entry = self._entries.get(number)
            if entry is None:
                findings.phantom.append(f"{row.id} {row.message[:40]!r}")
                continue
            if entry.fate is Fate.REFUSED:
                findings.refused_but_stored.append(number)
            difference = _difference(entry, row)
            if difference:
                findings.different.append(f"{number}: {difference}")
        findings.missing = [n for n, entry in self._entries.items() if entry.fate is Fate.ACKED and not seen[n]]
        findings.doubled = [n for n, count in seen.items() if count > 1]
        findings.doubled += [str(identifier) for identifier, count in ids.items() if count > 1]
        return findings

    def compare_bad(self, payloads: Mapping[bytes, int]) -> Findings:
        """The same for dead letters: payload -> how often it is there."""
        findings = Findings()
        findings.missing = [repr(p) for p, fate in self._bad.items() if fate is Fate.ACKED and p not in payloads]
        findings.doubled = [repr(payload) for payload, count in payloads.items() if count > 1]
        findings.phantom = [repr(payload) for payload in payloads if payload not in self._bad]
        return findings


def _difference(entry: _Entry, row: StoredRow) -> str:
    event = entry.event
    pairs = {
        "id": (entry.id, row.id),
        "timestamp": (event.timestamp, row.timestamp),
        "severity": (event.severity, row.severity),
        "source": (event.source, row.source),
        "message": (entry.message, row.message),
    }
    for name, (sent, stored) in pairs.items():
        if sent is not None and sent != stored:
            return f"{name} sent {sent!r}, stored {stored!r}"
    if event.attributes != row.attributes:
        return f"attributes sent {event.attributes!r}, stored {row.attributes!r}"
    return ""
