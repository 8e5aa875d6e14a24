"""Every bad or strange input of docs/bad-input.md: the bytes of one event, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

# Stands for a source that no other event has.
SOURCE: Final = b"@SOURCE@"
STORED: Final = "stored"


@dataclass(frozen=True, slots=True)
class Input:
    """`value` is the event as one line; `outcome` is STORED or the code of the refusal."""

    name: str
    value: bytes
    outcome: str
    # Of what is stored: its text, its attributes as sent, and its time where it is not that of receipt.
    message: str = "m"
    attributes: bytes | None = None
    timestamp: datetime | None = None

    def of(self, source: str) -> bytes:
        """The bytes with their source."""
        return self.value.replace(SOURCE, source.encode())


def event(message: bytes = b'"m"', *, source: bytes = b'"@SOURCE@"', more: bytes = b"") -> bytes:
    """One event from the JSON of its parts."""
    return b'{"severity": "HIGH", "source": %b, "message": %b%b}' % (source, message, more)


def _text(name: str, text: str, escaped: bytes | None = None) -> Input:
    """A text that is stored as it came."""
    sent = escaped if escaped is not None else text.encode()
    return Input(name, event(b'"' + sent + b'"'), STORED, message=text)


def _attributes(name: str, attributes: bytes, outcome: str = STORED) -> Input:
    return Input(name, event(more=b', "attributes": ' + attributes), outcome, attributes=attributes)


def _time(name: str, written: bytes, outcome: str = STORED, timestamp: datetime | None = None) -> Input:
    return Input(name, event(more=b', "timestamp": ' + written), outcome, timestamp=timestamp)


def _nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


_CHARACTERS: Final = (
    Input("U+0000 in the message", event(b'"a\\u0000b"'), "nul_character"),
    Input("U+0000 in the source", event(source=b'"@SOURCE@\\u0000"'), "nul_character"),
    _attributes("U+0000 in a value of attributes", b'{"a": "\\u0000"}', "nul_character"),
    _attributes("U+0000 in a key of attributes", b'{"\\u0000": 1}', "nul_character"),
    _attributes("the text \\u0000 in attributes", b'{"a": "\\\\u0000"}'),
    Input("half of a surrogate pair in the message", event(b'"\\ud800"'), "not_json"),
    _attributes("half of a surrogate pair in attributes", b'{"a": "\\ud800"}', "not_json"),
    Input("bytes that are not UTF-8", event(b'"\xff\xfe"'), "not_json"),
    Input("UTF-8 longer than need be", event(b'"\xc0\xaf"'), "not_json"),
    Input("a byte order mark before the event", b"\xef\xbb\xbf" + event(), "not_json"),
    _text("CR and LF", "a\r\nb", b"a\\r\\nb"),
    _text("ANSI escapes", "\x1b[2J\x1b[31mred\x07", b"\\u001b[2J\\u001b[31mred\\u0007"),
    _text("U+202E, which turns the direction of writing", "exe.\u202egpj"),
    _text("characters of no width, and a byte order mark", "a\u200b\u200d\ufeffb"),
    _text("noncharacters and the last character there is", "\uffff\ufdd0\U0010ffff"),
    _text("what a template would expand", "{{7*7}} ${jndi:ldap://x/a} <% x %> %s %n"),
    _text("what a spreadsheet would run", "=cmd|' /C calc'!A0"),
    _text("what a browser would run", "<script>alert(1)</script>"),
    _text("what SQL would run", "'); DROP TABLE logs; --"),
    _attributes("all of these in attributes", '{"=1+1\u202e\\r\\n": "\\u001b[0m${jndi:x}{{1}}<b>"}'.encode()),
)

_NUMBERS: Final = (
    _attributes("NaN", b'{"a": NaN}', "not_json"),
    _attributes("Infinity", b'{"a": Infinity}', "not_json"),
    _attributes("1e400, which no double holds", b'{"a": 1e400}', "bad_attributes"),
    _attributes("1e200000", b'{"a": 1e200000}', "bad_attributes"),
    _attributes("an integer of 2^64", b'{"a": 18446744073709551616}'),
    _attributes("an integer of 300 digits", b'{"a": %b}' % (b"9" * 300)),
    _attributes("an integer of 5,000 digits", b'{"a": %b}' % (b"9" * 5000), "bad_attributes"),
    _attributes("an integer of 200,000 digits", b'{"a": %b}' % (b"9" * 200_000), "attributes_too_large"),
    _attributes("-0.0 and 1.0000000000000000001", b'{"a": -0.0, "b": 1.0000000000000000001}'),
)

_SHAPES: Final = (
    Input("an empty object", b"{}", "missing_field"),
    Input("an array", b"[1]", "not_an_object"),
    Input("a text", b'"x"', "not_an_object"),
    Input("a number", b"1", "not_an_object"),
    Input("null", b"null", "not_an_object"),
    Input("an event that is cut off", event()[:-1], "not_json"),
    Input("something after the event", event() + b" x", "not_json"),
    Input("a field that does not exist", event(more=b', "severty": "LOW"'), "unknown_field"),
    Input("a field of another type", event(b"7"), "wrong_type"),
    Input("a field that is null", event(b"null"), "wrong_type"),
    Input("a field given twice", event(b'"first", "message": "last"'), STORED, message="last"),
    _attributes("a key of attributes given twice", b'{"a": 1, "a": 2}'),
    _attributes("attributes that are no object", b"[1]", "bad_attributes"),
    _attributes("attributes of 32 levels", _nested(32)),
    _attributes("attributes of 33 levels", _nested(33), "attributes_too_deep"),
    _attributes("attributes of 2,000 levels", _nested(2000), "attributes_too_deep"),
    _text("a message of 256 KiB", "x" * (256 << 10)),
    Input("a message of 256 KiB and a byte", event(b'"' + b"x" * ((256 << 10) + 1) + b'"'), "message_too_large"),
    _text("an empty message", ""),
    Input("an empty source", event(source=b'""'), "bad_source"),
    Input("a source of 257 characters", event(source=b'"' + b"s" * 257 + b'"'), "bad_source"),
)

_TIMES: Final = (
    Input("no time", event(), STORED),
    _time("a time without a zone", b'"2026-11-24T10:00:00"', "bad_timestamp"),
    _time("a date", b'"2026-11-24"', "bad_timestamp"),
    _time("the year 1900", b'"1900-01-01T00:00:00Z"', timestamp=datetime(1900, 1, 1, tzinfo=UTC)),
    _time("the year 9999", b'"9999-12-29T00:00:00Z"', timestamp=datetime(9999, 12, 29, tzinfo=UTC)),
    _time("the last two days of the year 9999", b'"9999-12-31T23:59:59Z"', "bad_timestamp"),
    _time("the year 0", b'"0000-01-01T00:00:00Z"', "bad_timestamp"),
    _time("a leap second", b'"2016-12-31T23:59:60Z"', "bad_timestamp"),
    _time("24:00", b'"2026-11-24T24:00:00Z"', "bad_timestamp"),
    _time("an offset of hours", b'"2026-11-24T10:00:00+05:30"', timestamp=datetime(2026, 11, 24, 4, 30, tzinfo=UTC)),
    _time("small letters", b'"2026-11-24t10:00:00z"', timestamp=datetime(2026, 11, 24, 10, tzinfo=UTC)),
    _time("seconds since 1970", b"1795514400", "bad_timestamp"),
    _time("milliseconds since 1970", b"1795514400000", "bad_timestamp"),
    _time("microseconds since 1970", b"1795514400000000", "bad_timestamp"),
    _time("nanoseconds since 1970", b"1795514400000000000", "bad_timestamp"),
    _time("seconds since 1970 as a text", b'"1795514400"', "bad_timestamp"),
    _time("NaN as a time", b"NaN", "not_json"),
    _time("infinity as a time", b'"infinity"', "bad_timestamp"),
)


def _ahead(name: str, **ahead: int) -> Input:
    moment = datetime.now(UTC) + timedelta(**ahead)
    return _time(name, f'"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"'.encode(), timestamp=moment)


_CLOCKS: Final = (
    _ahead("ten minutes ahead", minutes=10),
    _ahead("two days ahead", days=2),
    _ahead("400 days ahead", days=400),
    _ahead("400 days ago", days=-400),
)

INPUTS: Final = {"Characters": _CHARACTERS, "Numbers": _NUMBERS, "Shapes": _SHAPES, "Times": (*_TIMES, *_CLOCKS)}
