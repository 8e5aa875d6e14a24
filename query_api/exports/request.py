"""What an export is asked to be: which events, in which order, as which kind of file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, get_args

import msgspec

from query_api.parameters import CODE, read_filter, refuse
from query_api.search import SearchFilter
from threatlog.process.problems import Problem

Format = Literal["ndjson", "csv", "parquet"]
Compression = Literal["none", "gzip", "zstd"]
Choice = TypeVar("Choice", bound=str)
Order = Literal["newest_first", "oldest_first"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)
ORDERS: Final[tuple[Order, ...]] = get_args(Order)
# A filter has at most 2,000 characters; this is room for all members with every character escaped.
MAX_BODY_BYTES: Final = 64 * 1024

_SUFFIXES: Final = {"none": "", "gzip": ".gz", "zstd": ".zst"}
_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8; header=present"}
_COMPRESSED_TYPES: Final = {"gzip": "application/gzip", "zstd": "application/zstd"}
_MEMBERS: Final = ("start_time", "end_time", "severity", "source", "q", "format", "compression", "order")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """One export. `members` is the request's JSON as it was read: what is kept, and read again by other processes."""

    filter: SearchFilter
    format: Format
    compression: Compression
    order: Order
    members: Mapping[str, object]

    @property
    def newest_first(self) -> bool:
        """Whether it goes back in time, as pages do."""
        return self.order == "newest_first"

    @property
    def media_type(self) -> str:
        """Of the file: compression belongs to it, and is no coding of the transfer."""
        if self.format == "parquet":
            return "application/vnd.apache.parquet"
        return _COMPRESSED_TYPES.get(self.compression, _TYPES[self.format])

    @property
    def suffix(self) -> str:
        """What the file's name ends with; Parquet compresses its columns, not the file."""
        return ".parquet" if self.format == "parquet" else f".{self.format}{_SUFFIXES[self.compression]}"


def read_export_request(body: bytes) -> ExportRequest:
    """The export that a JSON object asks for. Raises Problem that names the member."""
    try:
        members = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "not_json", f"the body is no JSON: {error}") from None
    if not isinstance(members, dict):
        raise Problem(422, CODE, f"the body is no JSON object; it has the members {', '.join(_MEMBERS)}")
    for name in members:
        if name not in _MEMBERS:
            detail = f"{name[:80]!r} is no member here; known are {', '.join(_MEMBERS)}"
            raise Problem(422, CODE, detail, extra={"parameter": name[:80]})
    members = {name: value for name, value in members.items() if value is not None}
    return ExportRequest(
        read_filter({name: _text(name, members[name]) for name in _MEMBERS[:5] if _is_given(name, members)}),
        _choice(members, "format", FORMATS, "ndjson"),
        _choice(members, "compression", COMPRESSIONS, "none"),
        _choice(members, "order", ORDERS, "newest_first"),
        members,
    )


def _is_given(name: str, members: Mapping[str, object]) -> bool:
    """An empty list of severities asks for all, as an absent one."""
    return name in members and not (name == "severity" and members[name] == [])


def _text(name: str, value: object) -> str:
    if name == "severity" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if not isinstance(value, str):
        kind = "a list of texts" if name == "severity" else "a text"
        raise refuse(name, kind, msgspec.json.encode(value).decode())
    if "\0" in value:
        raise refuse(name, "a text without U+0000, which no event has", value)
    return value


def _choice(members: Mapping[str, object], name: str, known: tuple[Choice, ...], default: Choice) -> Choice:
    value = members.get(name, default)
    for choice in known:
        if value == choice:
            return choice
    raise refuse(name, f"one of {', '.join(known)}", value if isinstance(value, str) else repr(value))
