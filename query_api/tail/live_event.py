"""An event as it comes from Kafka, before it is stored: what it will be once it is, decoded once for all who look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

import msgspec

from ingest_gateway.contract import (
    SEVERITY_CODES,
    EventLimits,
    EventRecord,
    Place,
    RejectedEventError,
    StoredIdentity,
    moment_of,
    read_stored,
    topic_tag,
    without_null,
)
from query_api.filter_language.matching import Candidate, attributes_of
from query_api.reading import LoggedEvent

_encode: Final = msgspec.json.Encoder().encode
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")
# What a decoded event takes besides its value, which is held up to four times: value, fields, attributes, answer.
_COST_BYTES: Final = 1000
_COPIES: Final = 4


class KafkaRecord(Protocol):
    """What is needed of a record of the consumer."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Broker's append time, milliseconds since 1970."""
        ...

    @property
    def value(self) -> bytes | None: ...


class LiveEvent:
    """One event, with what was made of it for whoever looked at it first."""

    __slots__ = ("_attributes", "_line", "cost_bytes", "event", "identity", "offset", "partition", "severity")

    def __init__(self, place: Place, event: EventRecord, severity: str, identity: StoredIdentity, size: int) -> None:
        self.partition, self.offset = place.partition, place.offset
        self.event = event
        self.severity = severity
        self.identity = identity
        self.cost_bytes = _COST_BYTES + _COPIES * size
        self._attributes: object = None
        self._line: bytes | None = None

    def candidate(self, *, with_attributes: bool) -> Candidate:
        """What a filter looks at; attributes are decoded only for one that asks for them."""
        if with_attributes and self._attributes is None and self.event.attributes:
            self._attributes = attributes_of(bytes(self.event.attributes).decode())
        return Candidate(SEVERITY_CODES[self.severity], self.event.source, self.event.message, self._attributes)

    def logged(self) -> LoggedEvent:
        """The event in the shape of an answer."""
        event, identity = self.event, self.identity
        attributes = without_null(event.attributes)
        return LoggedEvent(
            UUID(bytes=identity.id),
            moment_of(identity.ts_us),
            self.severity,
            event.source,
            event.message,
            moment_of(identity.received_us),
            attributes or msgspec.UNSET,
        )

    def line(self) -> bytes:
        """Its JSON on one line: in JSON an end of a line stands only between tokens, where a blank means the same."""
        if self._line is None:
            self._line = _encode(self.logged()).translate(_LINE_ENDS)
        return self._line


class EventDecoder:
    """Makes events of the records of a topic."""

    def __init__(self, topic: str, limits: EventLimits) -> None:
        self._tag = topic_tag(topic)
        self._limits = limits

    def decoded(self, partition: int, records: Sequence[KafkaRecord]) -> list[LiveEvent]:
        """Those that are events; the others become dead letters, and are not for whoever tails."""
        return [event for record in records if (event := self.event_of(partition, record)) is not None]

    def event_of(self, partition: int, record: KafkaRecord) -> LiveEvent | None:
        """The event of one record; None where it is none."""
        place = Place(partition, record.offset, record.timestamp)
        try:
            event, severity, identity = read_stored(record.value, place, self._tag, self._limits)
        except RejectedEventError:
            return None
        return LiveEvent(place, event, severity, identity, len(record.value or b""))
