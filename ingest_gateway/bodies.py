"""From the bytes of a request to its events: content type, compression, JSON or NDJSON."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import zstandard

from ingest_gateway.contract import UNDECODABLE, ReceivedEvent, RejectedEventError, decode_received
from threatlog.process.problems import Problem

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
ENCODINGS: Final = ("identity", "gzip", "zstd")
_STEP_BYTES: Final = 256 * 1024
# Four bytes of zstd can mean a block of 128 KiB, so one step of input makes at most 16 MiB.
_ZSTD_STEP_BYTES: Final = 512
# A zstd frame may ask its reader for gigabytes of window; 8 MiB is what RFC 9659 lets a sender use over HTTP.
_MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024

# One item of a batch: a typed event, or why it is none.
BatchItem = ReceivedEvent | RejectedEventError


class _TypedBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    logs: list[ReceivedEvent]


class _RawBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    logs: list[msgspec.Raw]


_typed_batch: Final = msgspec.json.Decoder(_TypedBatch)
_raw_batch: Final = msgspec.json.Decoder(_RawBatch)
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


def decompress(body: bytes, encoding: bytes | None, max_bytes: int) -> bytes:
    """The body without its Content-Encoding, never more than `max_bytes` of it. Raises Problem 400, 413 or 415."""
    name = encoding.decode("latin-1").strip().lower() if encoding else "identity"
    if name == "identity":
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    if name in ("gzip", "x-gzip"):
        pieces = _gunzip(body)
    elif name == "zstd":
        pieces = _unzstd(body)
    else:
        raise Problem(415, "unsupported_encoding", f"content encoding {name!r} is not one of {', '.join(ENCODINGS)}")
    result = bytearray()
    try:
        for piece in pieces:
            result += piece
            if len(result) > max_bytes:
                raise _too_large(max_bytes)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Problem(400, "bad_compression", f"the body is not valid {name}: {error}") from None
    return bytes(result)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"the body has over {max_bytes} bytes after decompression, the most allowed")


def _gunzip(body: bytes) -> Iterator[bytes]:
    rest = body
    while rest:
        # 31: a gzip member with its header and checksum; a body may hold several.
        member = zlib.decompressobj(31)
        while not member.eof:
            piece = member.decompress(rest, _STEP_BYTES)
            rest = member.unconsumed_tail
            if not piece and not rest and not member.eof:
                raise EOFError("it ends in the middle")
            yield piece
        rest = member.unused_data


def _unzstd(body: bytes) -> Iterator[bytes]:
    if not body.startswith((b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")):
        raise EOFError("no zstd frame begins it")
    rest = body
    while rest:
        frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
        for start in range(0, len(rest), _ZSTD_STEP_BYTES):
            yield frame.decompress(rest[start : start + _ZSTD_STEP_BYTES])
            if frame.eof:
                rest = frame.unused_data + rest[start + _ZSTD_STEP_BYTES :]
                break
        else:
            raise EOFError("it ends in the middle")


def batch_of_json(body: bytes, max_events: int) -> list[ReceivedEvent] | list[BatchItem]:
    """The items of `{"logs": [...]}`, in order, decoded once when all are well-formed. Raises Problem 400, 413, 422."""
    try:
        events = _typed_batch.decode(body).logs
    except UNDECODABLE:
        raw = _raw_items(body)
        _check_count(len(raw), max_events)
        return [_one(item) for item in raw]
    _check_count(len(events), max_events)
    return events


def _raw_items(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The items of `logs` as they came, however wrong each of them may be. Raises Problem."""
    try:
        return _raw_batch.decode(body).logs
    except msgspec.ValidationError as error:
        raise Problem(422, "bad_batch", f'the body must be {{"logs": [...]}}: {error}') from None
    except UNDECODABLE as error:
        items = _split_items(body)
        if items is None:
            raise Problem(400, "not_json", f"the body is not valid JSON in UTF-8: {error}") from None
        return items


_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],]', re.DOTALL)
_HEAD: Final = re.compile(rb'\s*\{\s*"logs"\s*:\s*\[')


def _split_items(body: bytes) -> list[bytes] | None:
    """The items of a batch one of which is no JSON or nested deeper than the decoder goes; None if they have no ends.

    Strings are skipped and brackets counted: what is wrong within one item leaves the others whole.
    """
    head = _HEAD.match(body)
    if head is None:
        return None
    items: list[bytes] = []
    depth, start = 0, head.end()
    for token in _TOKEN.finditer(body, start):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
        if depth < 0 or (depth == 0 and sign == b","):
            items.append(body[start : token.start()].strip())
            start = token.end()
        if depth < 0:
            return items if sign == b"]" and body[start:].strip() == b"}" else None
    return None


def batch_of_ndjson(body: bytes, max_events: int) -> list[ReceivedEvent] | list[BatchItem]:
    """One item a line, blank lines left out, decoded once when all are well-formed. Raises Problem 413."""
    try:
        events = _typed_line.decode_lines(body)
    except UNDECODABLE:
        events = None
    # msgspec 0.22 also takes several objects on a line and one over several lines; what counts here is the line.
    if events is not None and len(events) == body.count(b"\n") + (not body.endswith(b"\n")):
        _check_count(len(events), max_events)
        return events
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    _check_count(len(lines), max_events)
    return [_one(line) for line in lines]


def _one(item: bytes | msgspec.Raw) -> BatchItem:
    try:
        return decode_received(item)
    except RejectedEventError as error:
        return error


def _check_count(count: int, max_events: int) -> None:
    if count > max_events:
        raise Problem(413, "too_many_events", f"the batch has {count} events; at most {max_events} are allowed")
    if count == 0:
        raise Problem(422, "empty_batch", f"the batch has no events; 1 to {max_events} are needed")
