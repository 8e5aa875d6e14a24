"""From records to what one transaction writes: COPY rows, rollup cells, dead letters."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ingest_gateway.contract import (
    APPEND_PRECISION_US,
    SEVERITY_CODES,
    EventLimits,
    EventRecord,
    RejectedEventError,
    check_event,
    check_rarities,
    decode_record,
    id_of_position,
    moment_of,
    received_us_of,
    topic_tag,
    without_null,
)
from stream_app.chunks import Record
from stream_app.dead_letter import DeadLetter, dead_letter_of
from stream_app.fence import Span

if TYPE_CHECKING:
    from stream_app.word_filter import WordFilter

# PostgreSQL counts microseconds from here.
_PG_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
PG_EPOCH_US: Final = 946_684_800_000_000
_MINUTE_US: Final = 60_000_000
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 1440 * _MINUTE_US
# Two milliseconds. The transaction of the window before has seven answers to wait for, and each comes a turn late: with
# turns of twelve hardly anything was written meanwhile. Each turn costs a change of threads as well.
RECORDS_A_TURN: Final = 500

# Binary COPY as in the "Binary Format" section of PostgreSQL's page on COPY: a field is a length and its bytes.
COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + Struct(">ii").pack(0, 0)
COPY_TRAILER: Final = Struct(">h").pack(-1)
# Time and id come first: rows that are sorted by their bytes are then in the order of the unique index.
LOG_COLUMNS: Final = ("ts", "id", "severity", "source", "message", "attributes", "received_at")
_time_and_id: Final = Struct(">hiqi16s").pack  # number of fields | ts | id
_severity_and_length: Final = Struct(">ihi").pack  # severity | length of source
_length: Final = Struct(">i").pack
_NULL: Final = _length(-1)
_time: Final = Struct(">iq").pack  # received_at


class SeverityAndSource:
    """What many rows of a window have in common: one object for all of them, hashed by identity."""

    __slots__ = ("copy_bytes", "severity", "source")

    def __init__(self, severity: int, source: str, copy_bytes: bytes) -> None:
        self.severity, self.source, self.copy_bytes = severity, source, copy_bytes


class Row(msgspec.Struct, gc=False):
    """One event ready for COPY. A window's rows are sorted by (ts, id), the order of the unique index."""

    ts_us: int  # microseconds since 1970
    id: bytes  # 16 bytes
    copy_bytes: bytes
    shared: SeverityAndSource
    received_us: int
    partition: int
    record: Record
    # As they are in `copy_bytes`, for their words.
    message: bytes
    attributes: msgspec.Raw | None

    @property
    def severity(self) -> int:
        """The severity's code."""
        return self.shared.severity

    @property
    def text_bytes(self) -> int:
        """About how long message and attributes are."""
        return len(self.copy_bytes)

    @property
    def event(self) -> EventRecord:
        """The event, decoded anew: few are asked for, and keeping all of a window cost half a microsecond each."""
        event = decode_record(self.record.value)
        event.attributes = without_null(event.attributes)
        return event

    @property
    def arrival(self) -> tuple[int, bytes, int, int]:
        """What orders rows by (ts, id), and those that repeat it as they came within their partition."""
        return self.ts_us, self.id, self.partition, self.record.offset

    def as_dead_letter(self) -> DeadLetter:
        """This record as one that PostgreSQL refused although our checks let it through."""
        refusal = RejectedEventError("refused_by_store", "PostgreSQL refused the row")
        return dead_letter_of(self.partition, self.record, refusal)


_copy_bytes_of: Final = attrgetter("copy_bytes")
_time_of: Final = attrgetter("ts_us")
_shared_of: Final = attrgetter("shared")


class Cell(NamedTuple):
    """One cell of the minute rollup."""

    unix_minute: int
    severity: int
    source: str


@dataclass(slots=True)
class Prepared:
    """The contents of one window. `rows` are sorted by (ts, id)."""

    rows: list[Row] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    # Hours since 1970 of rows whose id does not begin with their time.
    foreign_id_hours: set[int] = field(default_factory=set)
    # Of the words of all rows, or none.
    word_filters: Sequence[WordFilter] = ()

    def sort(self) -> None:
        """Into the order of the index: by their bytes, whose comparing is left to C."""
        rows = self.rows
        rows.sort(key=_copy_bytes_of)
        if rows and rows[-1].ts_us < PG_EPOCH_US:
            # The bytes of a negative time sort above all others: what is before 2000 belongs in front.
            later = bisect_left(rows, True, key=lambda row: row.ts_us < PG_EPOCH_US)
            self.rows = rows[later:] + rows[:later]

    def first_reason(self) -> str:
        """Reason and words of the first dead letter."""
        return f"{self.dead_letters[0].reason}: {self.dead_letters[0].detail}" if self.dead_letters else ""

    def days(self) -> set[int]:
        """The days (since 1970) that the rows fall on."""
        days: set[int] = set()
        start = 0
        while start < len(self.rows):
            day = self.rows[start].ts_us // _DAY_US
            days.add(day)
            start = bisect_left(self.rows, (day + 1) * _DAY_US, lo=start, key=_time_of)
        return days


def cells_of(rows: Sequence[Row]) -> Counter[Cell]:
    """How many rows each (minute, severity, source) holds; rows sorted by time."""
    cells: Counter[Cell] = Counter()
    start = 0
    # Rows are sorted by time, so a minute is a slice, and its counting is left to C.
    while start < len(rows):
        minute = rows[start].ts_us // _MINUTE_US
        end = bisect_left(rows, (minute + 1) * _MINUTE_US, lo=start, key=_time_of)
        for shared, count in Counter(map(_shared_of, rows[start:end])).items():
            cells[Cell(minute, shared.severity, shared.source)] += count
        start = end
    return cells


def copy_payload(rows: Sequence[Row]) -> bytes:
    """The rows as one binary COPY of LOG_COLUMNS."""
    return b"".join([COPY_HEADER, *map(_copy_bytes_of, rows), COPY_TRAILER])


def prepare(topic: str, spans: Sequence[Span], limits: EventLimits) -> Prepared:
    """Decodes, checks and encodes every record of the spans; what cannot be stored becomes a dead letter."""
    prepared, encoder = Prepared(), _RowEncoder(topic, limits)
    for span in spans:
        encoder.add(prepared, span.partition, span.records)
    prepared.sort()
    return prepared


async def prepare_by_turns(topic: str, spans: Sequence[Span], limits: EventLimits) -> Prepared:
    """The same, letting the event loop turn in between.

    In one go it held up the COPY of the window before, and the next fetch, for as long as it took.
    """
    prepared, encoder = Prepared(), _RowEncoder(topic, limits)
    for span in spans:
        for start in range(0, len(span.records), RECORDS_A_TURN):
            encoder.add(prepared, span.partition, span.records[start : start + RECORDS_A_TURN])
            await asyncio.sleep(0)
    prepared.sort()
    return prepared


class _RowEncoder:
    """Encodes rows, remembering what neighbouring records share: the source, and the moment of receipt."""

    __slots__ = ("_limits", "_received", "_received_bytes", "_received_us", "_shared", "_topic_tag")

    def __init__(self, topic: str, limits: EventLimits) -> None:
        self._limits = limits
        self._topic_tag = topic_tag(topic)
        self._shared: dict[tuple[str, str], SeverityAndSource] = {}
        self._received: datetime | None = None
        self._received_us = 0
        self._received_bytes = b""

    def add(self, prepared: Prepared, partition: int, records: Sequence[Record]) -> None:
        """Adds each record to the rows, or to the dead letters."""
        add_row, row, limits, hours = prepared.rows.append, self._row, self._limits, prepared.foreign_id_hours
        for record in records:
            try:
                value = record.value
                event = decode_record(value)
                severity = check_event(event, limits)
                if event.timestamp is None or len(value or b"") > limits.max_event_bytes:
                    check_rarities(event, len(value or b""), limits)
                add_row(row(event, severity, partition, record, hours))
            except RejectedEventError as error:
                prepared.dead_letters.append(dead_letter_of(partition, record, error))

    def _row(self, event: EventRecord, severity: str, partition: int, record: Record, hours: set[int]) -> Row:
        """One row. It runs for every event: each call or lookup saved here is a tenth of a microsecond.

        So what `stored_identity` of the contract says is written out here; a test holds both to each other.
        """
        appended_us = record.timestamp * 1000
        received = event.received_at
        if received is None or received != self._received:
            self._receive(received, appended_us)
        received_us, received_bytes = self._received_us, self._received_bytes
        # A sender that writes a receipt later than the broker's own is not believed.
        if received_us > appended_us + APPEND_PRECISION_US:
            received_us, received_bytes = appended_us, _time(8, appended_us - PG_EPOCH_US)
        moment = event.timestamp
        # Absent: the time of receipt, which for a direct record never changes: it is the broker's append time.
        since = (moment_of(received_us) if moment is None else moment) - _PG_EPOCH
        pg_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        ts_us = pg_us + PG_EPOCH_US
        if event.id is not None:
            number = event.id.int
            identifier = number.to_bytes(16, "big")
            if number >> 80 != ts_us // 1000:
                hours.add(ts_us // _HOUR_US)
        else:
            identifier = id_of_position(ts_us, partition, record.offset, self._topic_tag)
            if ts_us < 0:
                hours.add(ts_us // _HOUR_US)
        shared = self._shared.get((severity, event.source)) or self._share(severity, event.source)
        message, attributes = event.message.encode(), event.attributes
        head = _time_and_id(7, 8, pg_us, 16, identifier)
        start = (head, shared.copy_bytes, _length(len(message)), message)
        rest = (_length(len(attributes)), attributes, received_bytes) if attributes else (_NULL, received_bytes)
        copy_bytes = b"".join(start + rest)
        return Row(ts_us, identifier, copy_bytes, shared, received_us, partition, record, message, attributes)

    def _share(self, severity: str, source: str) -> SeverityAndSource:
        code, name = SEVERITY_CODES[severity], source.encode()
        shared = SeverityAndSource(code, source, _severity_and_length(2, code, len(name)) + name)
        self._shared[severity, source] = shared
        return shared

    def _receive(self, received: datetime | None, appended_us: int) -> None:
        """Events of one request share their moment of receipt, so it is encoded once for all of them.

        Raises RejectedEventError.
        """
        self._received_us = received_us_of(received, appended_us)
        self._received = received
        self._received_bytes = _time(8, self._received_us - PG_EPOCH_US)
