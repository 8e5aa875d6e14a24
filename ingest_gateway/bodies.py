"""From the bytes of a request to its events: content type, JSON or NDJSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ingest_gateway.contract import UNDECODABLE, ReceivedEvent, RejectedEventError, decode_received, shortened
from ingest_gateway.item_split import split_items, too_many_events
from threatlog.process.problems import Problem

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_MAX_COMMAS_AN_EVENT: Final = 16
_SHORT_EVENT_BYTES: Final = 128

# One item of a batch: a typed event, or why it is none.
BatchItem = ReceivedEvent | RejectedEventError


class _TypedBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    logs: list[ReceivedEvent]


class _RawBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    logs: list[msgspec.Raw]


class _AnyBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    logs: msgspec.Raw


_typed_batch: Final = msgspec.json.Decoder(_TypedBatch)
_raw_batch: Final = msgspec.json.Decoder(_RawBatch)
_any_batch: Final = msgspec.json.Decoder(_AnyBatch)
_typed_line: Final = msgspec.json.Decoder(ReceivedEvent)


def media_type(header: bytes | None, allowed: tuple[str, ...]) -> str:
    """The request's media type without parameters; JSON when it names none. Raises Problem 415."""
    if not header:
        return JSON
    text = header.decode("latin-1")
    name, _, parameters = text.partition(";")
    name = name.strip().lower()
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    if name not in allowed or (charset is not None and charset[1].lower() not in ("utf-8", "utf8")):
        raise Problem(415, "unsupported_media_type", f"content type {text!r} is not {' or '.join(allowed)} in UTF-8")
    return name


def batch_of_json(body: bytes, max_events: int) -> list[ReceivedEvent] | list[BatchItem]:
    """The items of `{"logs": [...]}`, in order, decoded once when all are well-formed. Raises Problem 400, 413, 422."""
    events = None if _may_be_too_many(body, max_events) else _typed_events(body)
    if events is None:
        return [_one(item) for item in _raw_items(body, max_events)]
    _check_batch(body, len(events), max_events)
    return events


def _may_be_too_many(body: bytes, max_events: int) -> bool:
    # A short body is not worth counting: it holds three times too many at most.
    if len(body) <= _SHORT_EVENT_BYTES * max_events:
        return False
    # Each event has a brace and the word; attributes may hold both as well, so this only asks for a closer look.
    return body.count(b"{") > max_events + 1 and body.count(b'"severity"') > max_events


def _typed_events(body: bytes) -> list[ReceivedEvent] | None:
    try:
        return _typed_batch.decode(body).logs
    except UNDECODABLE:
        return None


def _raw_items(body: bytes, max_events: int) -> Sequence[bytes | msgspec.Raw]:
    """The items of `logs` as they came, however wrong each of them may be. Raises Problem."""
    # msgspec is faster, but makes the whole list before it can be counted: not with more commas than events have.
    if body.count(b",") <= _MAX_COMMAS_AN_EVENT * max_events:
        try:
            raw = _raw_batch.decode(body).logs
        except UNDECODABLE:
            pass
        else:
            _check_batch(body, len(raw), max_events)
            return raw
    items = split_items(body, max_events)
    if items is None:
        raise _not_a_batch(body)
    return items


# msgspec 0.22 silently keeps the last of two lists with the same name. The name may be written with escapes.
_PERHAPS_SECOND_LIST: Final = re.compile(rb'\]\s*,\s*"(?:logs"|l?o?g?\\)')


def _check_batch(body: bytes, count: int, max_events: int) -> None:
    _check_count(count, max_events)
    # Most batches have no second bracket, which is found out thirty times faster.
    one_list = body.find(b"]", 0, body.rfind(b"]")) < 0 or _PERHAPS_SECOND_LIST.search(body) is None
    if not one_list and split_items(body, max_events) is None:
        raise _not_a_batch(body)


def _not_a_batch(body: bytes) -> Problem:
    try:
        _any_batch.decode(body)
    except msgspec.ValidationError as error:
        return Problem(422, "bad_batch", shortened(f'the body must be {{"logs": [...]}}: {error}'))
    except UNDECODABLE as error:
        return Problem(400, "not_json", shortened(f"the body is not valid JSON in UTF-8: {error}"))
    return Problem(422, "bad_batch", 'the body must be {"logs": [...]}, with `logs` a list that is there once')


# A line with something in it.
_LINE: Final = re.compile(rb"^.*\S.*$", re.MULTILINE)


def batch_of_ndjson(body: bytes, max_events: int) -> list[ReceivedEvent] | list[BatchItem]:
    """One item a line, blank lines left out, decoded once when all are well-formed. Raises Problem 413, 422."""
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    if lines <= max_events:
        try:
            events = _typed_line.decode_lines(body)
        except UNDECODABLE:
            events = []
        # msgspec 0.22 also takes several objects on a line and one over several lines; what counts here is the line.
        if len(events) == lines:
            return events
    items: list[BatchItem] = []
    for line in _LINE.finditer(body):
        if len(items) == max_events:
            raise too_many_events(max_events)
        items.append(_one(line[0]))
    _check_count(len(items), max_events)
    return items


def _one(item: bytes | msgspec.Raw) -> BatchItem:
    try:
        return decode_received(item)
    except RejectedEventError as error:
        return error


def _check_count(count: int, max_events: int) -> None:
    if count > max_events:
        raise too_many_events(max_events)
    if count == 0:
        raise Problem(422, "empty_batch", f"the batch has no events; 1 to {max_events} are needed")
