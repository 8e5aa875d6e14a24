"""The JSON of one event: its fields as typed structs, decoded and encoded once."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from ingest_gateway.contract.rejection import RejectedEventError

CONTRACT_VERSION: Final = 1
CONTENT_TYPE: Final = "application/json"
# Each record of the gateway carries these; a record without them is read as version 1 of the same JSON.
VERSION_HEADER: Final = "threatlog-version"
CONTENT_TYPE_HEADER: Final = "content-type"
# The id of the API key that an event was sent with; where keys are needed, the gateway writes it.
PRODUCER_HEADER: Final = "producer"
TRACEPARENT_HEADER: Final = "traceparent"

# A union with None makes msgspec 0.22 treat Raw as null only, so absence is the empty value.
NO_ATTRIBUTES: Final = msgspec.Raw(b"")
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class ReceivedEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One event as a sender writes it. `attributes` keeps the sender's own bytes."""

    severity: str
    source: str
    message: str
    timestamp: _Moment | None = None
    attributes: msgspec.Raw = NO_ATTRIBUTES
    id: UUID | None = None


class EventRecord(ReceivedEvent, forbid_unknown_fields=True, gc=False):
    """One event as it stands in Kafka: what the sender wrote, and when the gateway took it."""

    received_at: _Moment | None = None


class WrittenRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """The gateway's side of `EventRecord`: same fields, every required one set, encoded once."""

    id: UUID | str
    timestamp: datetime
    severity: str
    source: str
    message: str
    received_at: datetime
    attributes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_received_decoder: Final = msgspec.json.Decoder(ReceivedEvent)
_record_decoder: Final = msgspec.json.Decoder(EventRecord)
_encoder: Final = msgspec.json.Encoder()
# msgspec 0.22 lets bad UTF-8 and deep nesting out as Python's own errors.
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_record(record: WrittenRecord) -> bytes:
    """The bytes of one Kafka record value."""
    return _encoder.encode(record)


def decode_received(body: bytes | msgspec.Raw) -> ReceivedEvent:
    """One event of an HTTP body, typed but not yet checked. Raises RejectedEventError."""
    try:
        return _received_decoder.decode(body)
    except UNDECODABLE as error:
        raise rejection_of(error) from None


def decode_record(value: bytes | None) -> EventRecord:
    """One Kafka record value, typed but not yet checked. Raises RejectedEventError."""
    if value is None:
        raise RejectedEventError("null_value", "the record has no value; a JSON object is needed")
    try:
        return _record_decoder.decode(value)
    except UNDECODABLE as error:
        raise rejection_of(error) from None


_FIELD: Final = re.compile(r"`\$\.(?:logs\[\]\.)?(\w+)")
_FIELD_CODES: Final = {"timestamp": "bad_timestamp", "received_at": "bad_timestamp", "id": "bad_id"}


def rejection_of(error: Exception) -> RejectedEventError:
    """What msgspec 0.22 found wrong, as one of our codes. Its texts are matched here and nowhere else."""
    text = str(error)
    if isinstance(error, RecursionError):
        return RejectedEventError("attributes_too_deep", "the JSON is nested too deeply to be read")
    if not isinstance(error, msgspec.ValidationError):
        return RejectedEventError("not_json", f"not valid JSON in UTF-8: {text}")
    if "missing required field" in text:
        return RejectedEventError("missing_field", f"{text}; severity, source and message are required")
    if "unknown field" in text:
        return RejectedEventError("unknown_field", f"{text}; put further fields into `attributes`")
    field = _FIELD.search(text)
    if field is None:
        return RejectedEventError("not_an_object", f"an event is a JSON object: {text}")
    code = _FIELD_CODES.get(field[1], "wrong_type")
    if code == "bad_timestamp":
        text += "; RFC 3339 with a time zone and no leap second is needed, such as 2026-11-24T10:00:00Z"
    return RejectedEventError(code, text)
