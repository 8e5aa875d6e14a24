"""Rows as far as their words are concerned: a time, a message and attributes."""

from __future__ import annotations

import msgspec

from stream_app.prepare import Row, SeverityAndSource
from tests.fakes.kafka_records import FakeRecord


def word_row(ts_us: int, message: str, attributes: bytes | None = None) -> Row:
    """What is stored of an event, without what is not looked at for its words."""
    text = message.encode()
    found = None if attributes is None else msgspec.Raw(attributes)
    record = FakeRecord(0, b"", None, 0)
    return Row(ts_us, b"", text + (attributes or b""), SeverityAndSource(0, "s", b""), 0, 0, record, text, found)
