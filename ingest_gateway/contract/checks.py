"""What makes one decoded event storable: the limits and the checks that HTTP and Kafka share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import msgspec
import orjson

from ingest_gateway.contract.record import NO_ATTRIBUTES, UNDECODABLE, ReceivedEvent
from ingest_gateway.contract.rejection import RejectedEventError

# Stored as a small integer that sorts by weight.
SEVERITIES: Final = ("INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")
SEVERITY_CODES: Final = MappingProxyType({name: code for code, name in enumerate(SEVERITIES)})
# The documented table of other spellings (syslog's and those of common loggers), in any case.
SEVERITY_ALIASES: Final = MappingProxyType(
    {
        "EMERGENCY": "CRITICAL",
        "EMERG": "CRITICAL",
        "ALERT": "CRITICAL",
        "CRIT": "CRITICAL",
        "FATAL": "CRITICAL",
        "ERROR": "HIGH",
        "ERR": "HIGH",
        "WARNING": "MEDIUM",
        "WARN": "MEDIUM",
        "NOTICE": "LOW",
        "INFORMATIONAL": "INFO",
        "INFORMATION": "INFO",
        "DEBUG": "INFO",
        "TRACE": "INFO",
    }
)
_CANONICAL: Final = {
    spelling: canonical
    for name, canonical in [*((s, s) for s in SEVERITIES), *SEVERITY_ALIASES.items()]
    for spelling in (name, name.lower(), name.capitalize())
}

# Python and PostgreSQL can both hold these in UTC, whatever offset they were written with.
EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What one event may measure; the same for HTTP and for records produced straight to Kafka."""

    max_event_bytes: int = 512 * 1024
    max_message_bytes: int = 256 * 1024
    max_source_chars: int = 256
    max_attributes_bytes: int = 64 * 1024
    max_attributes_depth: int = 32

    @classmethod
    def of(cls, limits: Mapping[str, int]) -> EventLimits:
        """These of the limits in the settings."""
        return cls(**{field.name: limits[field.name] for field in fields(cls)})


def severity_of(spelling: str) -> str:
    """The canonical severity of any documented spelling. Raises RejectedEventError."""
    canonical = _CANONICAL.get(spelling) or _CANONICAL.get(spelling.upper())
    if canonical is None:
        shown = spelling if len(spelling) <= 32 else spelling[:32] + "…"
        raise RejectedEventError("bad_severity", f"severity {shown!r} is not one of {', '.join(SEVERITIES)}")
    return canonical


def check_event(event: ReceivedEvent, limits: EventLimits) -> str:
    """Holds one decoded event to the contract and returns its canonical severity. Raises RejectedEventError.

    Everything PostgreSQL would refuse is refused here, so that no row can fail inside a window's transaction.
    """
    severity = _CANONICAL.get(event.severity) or severity_of(event.severity)
    source, message = event.source, event.message
    if not 0 < len(source) <= limits.max_source_chars:
        raise RejectedEventError(
            "bad_source", f"source has {len(source)} characters; 1 to {limits.max_source_chars} are allowed"
        )
    if "\0" in message or "\0" in source:
        raise RejectedEventError("nul_character", "source or message holds U+0000, which cannot be stored")
    # A character has at most 4 bytes, so most messages need no encoding to be measured.
    if len(message) * 4 > limits.max_message_bytes and len(message.encode()) > limits.max_message_bytes:
        raise RejectedEventError(
            "message_too_large", f"message has over {limits.max_message_bytes} bytes of UTF-8, the most allowed"
        )
    moment = event.timestamp
    if moment is not None and not EARLIEST <= moment <= LATEST:
        raise RejectedEventError("bad_timestamp", "timestamp is not between 0001-01-02 and 9999-12-30 in UTC")
    if event.attributes:
        event.attributes = checked_attributes(event.attributes, limits)
    return severity


def checked_attributes(raw: msgspec.Raw, limits: EventLimits) -> msgspec.Raw:
    """The sender's bytes when they are a storable object; NO_ATTRIBUTES for null. Raises RejectedEventError."""
    content = bytes(raw)
    if _is_short_and_flat(content, limits):
        return raw
    if content == b"null":
        return NO_ATTRIBUTES
    if content[0] != _BRACE:
        raise RejectedEventError("bad_attributes", "attributes must be a JSON object")
    if len(content) > limits.max_attributes_bytes:
        raise RejectedEventError(
            "attributes_too_large",
            f"attributes have {len(content)} bytes; at most {limits.max_attributes_bytes} are allowed",
        )
    if _may_be_deep(content, limits.max_attributes_depth) and _is_deeper(content, limits.max_attributes_depth):
        raise RejectedEventError(
            "attributes_too_deep", f"attributes are nested deeper than {limits.max_attributes_depth} levels"
        )
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RejectedEventError("bad_attributes", f"attributes are not strict JSON: {error}") from None
    # Most attributes have no escapes; one byte as a number is looked for six times faster than as bytes.
    if _BACKSLASH in content and _holds_nul(content):
        raise RejectedEventError("nul_character", "attributes hold U+0000, which cannot be stored")
    return raw


# A number of fewer digits than this that no double holds needs an exponent, and msgspec 0.22 refuses it then as orjson
# does. It lets through longer ones.
_SHORTEST_UNREFUSED: Final = 309
_decode_flat: Final = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode


def _is_short_and_flat(content: bytes, limits: EventLimits) -> bool:
    """Whether this is certainly a storable object: what most attributes are is found out in half the time."""
    if (
        len(content) >= _SHORTEST_UNREFUSED
        or len(content) > limits.max_attributes_bytes
        or limits.max_attributes_depth < 1
        # Only objects in the object would still fail below, which costs more than looking for them.
        or _BACKSLASH in content
        or _BRACKET in content
        or content.rfind(b"{")
    ):
        return False
    try:
        _decode_flat(content)
    except UNDECODABLE:
        return False
    return True


def without_null(raw: msgspec.Raw) -> msgspec.Raw:
    """NO_ATTRIBUTES where a sender wrote null."""
    return NO_ATTRIBUTES if bytes(raw) == b"null" else raw


_BRACE, _BRACKET, _BACKSLASH = b"{[\\"


def _may_be_deep(content: bytes, max_depth: int) -> bool:
    # A flat object, the usual case, is told by two searches; any other has its brackets counted, those in text too.
    if _BRACKET not in content and content.rfind(b"{") == 0:
        return max_depth < 1
    return content.count(b"{") + content.count(b"[") > max_depth


_NO_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'"{}[]')
_AS_BRACES: Final = bytes.maketrans(b"[]", b"{}")


def _is_deeper(content: bytes, max_depth: int) -> bool:
    """Whether well-formed JSON nests deeper. Each step is one call in C for the whole of it."""
    unescaped = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Between quotes lies text; of the rest only brackets are left, all of one kind.
    braces = b"".join(unescaped.translate(_AS_BRACES, _NO_STRUCTURE).split(b'"')[::2])
    for _ in range(max_depth):
        if not braces:
            return False
        # Takes the innermost level away.
        braces = braces.replace(b"{}", b"")
    return bool(braces)


def _holds_nul(content: bytes) -> bool:
    # An even run of backslashes before it makes `u0000` plain text.
    return re.search(rb"(?<!\\)(?:\\\\)*\\u0000", content) is not None
