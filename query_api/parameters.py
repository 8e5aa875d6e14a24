"""Query strings to values: every parameter's rule, and a problem that names the parameter where it is broken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from ingest_gateway.contract import EARLIEST, LATEST, SEVERITIES, SEVERITY_CODES, RejectedEventError, severity_of
from query_api.aggregation import (
    DEFAULT_VALUES,
    MOST_INTERVALS,
    MOST_VALUES,
    HistogramRequest,
    SeriesKey,
    TopField,
    TopRequest,
    usual_interval,
)
from query_api.filter_language.errors import FilterError
from query_api.filter_language.expressions import EVERYTHING, Attribute, Exists, Expression, Field
from query_api.filter_language.parse import parse
from query_api.pagination import BadCursorError, decode_cursor
from query_api.search import DEFAULT_LIMIT, MAX_LIMIT, Cursor, PageRequest, SearchFilter
from stream_app.contract import RECENT_EVENTS
from threatlog.process.problems import Problem

CODE: Final = "invalid_parameter"
_MOMENT: Final = "an RFC 3339 time with a zone, such as 2026-11-24T10:00:00Z or 2026-11-24T12:00:00+02:00"
_BOUNDS: Final = f"a time from {EARLIEST.date()} to {LATEST.date()}, both at 00:00 UTC"
_SEVERITIES_ALLOWED: Final = f"one or more of {', '.join(reversed(SEVERITIES))}, with commas between them"
# Longer than any source that is stored; such a text only costs time.
_MAX_SOURCE_CHARS: Final = 1024
DEFAULT_AROUND: Final = 10
MOST_AROUND: Final = 100
_MAX_FIELDS: Final = 64
# A plus in a query string means a space; many clients do not escape the one of a zone.
_SPACED_ZONE: Final = re.compile(r" (?=\d\d:\d\d$)")
_INTERVAL: Final = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_SERIES: Final[dict[str, SeriesKey]] = {"severity": "severity", "source": "source"}
_MOST_INTERVAL: Final = timedelta(days=366)
_COUNT: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """The newest events of these severities (codes; empty means all)."""

    severities: tuple[int, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """An event, and how many events of its source before and after it are wanted."""

    id: UUID
    ts: datetime | None
    before: int
    after: int


def refuse(parameter: str, accepted: str, value: str | None = None) -> Problem:
    """The problem of one parameter: what it was, and what it accepts."""
    shown = "missing" if value is None else f"{value[:80]!r}"
    return Problem(422, CODE, f"{parameter} is {shown}; it accepts {accepted}", extra={"parameter": parameter})


def read_query(query: bytes, known: Sequence[str]) -> dict[str, str]:
    """The parameters of a query string, each given once. Only `severity` may repeat. Raises Problem."""
    found: dict[str, str] = {}
    if query.count(b"&") >= _MAX_FIELDS:
        raise Problem(422, CODE, f"the query string has more than {_MAX_FIELDS} parameters")
    try:
        # Many clients send other letters than English ones as they are.
        pairs = parse_qsl(query.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Problem(422, CODE, f"the query string cannot be read as UTF-8 parameters: {error}") from None
    for name, value in pairs:
        if name not in known:
            accepted = f"known are {', '.join(known)}" if known else "none is known here"
            raise Problem(422, CODE, f"{name[:80]!r} is no parameter here; {accepted}", extra={"parameter": name[:80]})
        if name in found and name != "severity":
            raise refuse(name, "one value, but was given twice", value)
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def read_moment(values: Mapping[str, str], name: str) -> datetime:
    """A required time, in UTC. Read as the gateway reads an event's: what was sent is found again. Raises Problem."""
    text = values.get(name)
    if not text:
        raise refuse(name, _MOMENT, text)
    try:
        found = msgspec.convert(_SPACED_ZONE.sub("+", text), datetime)
    except (msgspec.ValidationError, UnicodeError):
        raise refuse(name, _MOMENT, text) from None
    if found.tzinfo is None:
        raise refuse(name, _MOMENT, text)
    if not EARLIEST <= found <= LATEST:
        raise refuse(name, _BOUNDS, text)
    return found.astimezone(UTC)


def read_count(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds. Raises Problem."""
    text = values.get(name)
    if text is None:
        return default
    if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
        raise refuse(name, f"a whole number from {least} to {most}", text)
    return int(text)


def read_severities(values: Mapping[str, str]) -> tuple[int, ...]:
    """The codes of `severity`, sorted; empty when it is absent or names all. Raises Problem."""
    text = values.get("severity")
    if text is None:
        return ()
    codes = set()
    for spelling in text.split(","):
        try:
            codes.add(SEVERITY_CODES[severity_of(spelling.strip())])
        except RejectedEventError:
            raise refuse("severity", _SEVERITIES_ALLOWED, text) from None
    return () if len(codes) == len(SEVERITIES) else tuple(sorted(codes))


def read_filter(values: Mapping[str, str]) -> SearchFilter:
    """Range, severities and source. Raises Problem."""
    start, end = read_moment(values, "start_time"), read_moment(values, "end_time")
    if start >= end:
        raise refuse("end_time", "a time after start_time", values["end_time"])
    return SearchFilter(start, end, read_severities(values), read_source(values), read_expression(values))


def read_source(values: Mapping[str, str]) -> str | None:
    """The whole name of one source; None where any will do. Raises Problem."""
    source = values.get("source")
    if source is not None and (not 0 < len(source) <= _MAX_SOURCE_CHARS or "\0" in source):
        raise refuse("source", f"the whole name of a source, 1 to {_MAX_SOURCE_CHARS} characters", source)
    return source


def read_expression(values: Mapping[str, str]) -> Expression:
    """The filter in `q`; everything when it is absent. Raises Problem that says at which character it is wrong."""
    text = values.get("q")
    if not text:
        return EVERYTHING
    try:
        return parse(text)
    except FilterError as error:
        where = f"at its end: {error}" if error.position >= len(text) else f"at character {error.position + 1}: {error}"
        extra = {"parameter": "q", "position": error.position}
        raise Problem(422, CODE, f"q is no filter {where}", extra=extra) from None


STATS_PARAMETERS: Final = ("start_time", "end_time", "severity", "source", "q")
PAGE_PARAMETERS: Final = (*STATS_PARAMETERS, "limit", "offset", "cursor")
HISTOGRAM_PARAMETERS: Final = (*STATS_PARAMETERS, "interval", "by")
TOP_PARAMETERS: Final = (*STATS_PARAMETERS, "field", "limit")
CONTEXT_PARAMETERS: Final = ("timestamp", "before", "after")
RECENT_PARAMETERS: Final = ("severity", "limit")


def read_page_request(query: bytes, max_offset: int) -> PageRequest:
    """The page that a query string asks for. Raises Problem."""
    values = read_query(query, PAGE_PARAMETERS)
    wanted = read_filter(values)
    limit = read_count(values, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    offset = _offset(values, max_offset)
    if offset and wanted.reads_events:
        raise refuse("offset", "0 with a q that looks at events; send the next_cursor of an answer", values["offset"])
    return PageRequest(wanted, limit, offset, _cursor(values, wanted))


def _offset(values: Mapping[str, str], max_offset: int) -> int:
    text = values.get("offset")
    if text is None:
        return 0
    if "cursor" in values:
        raise refuse("offset", "nothing together with cursor: the cursor says where its page begins", text)
    if _COUNT.fullmatch(text) and int(text) > max_offset:
        accepted = f"0 to {max_offset}; for deeper pages send the next_cursor of an answer as cursor"
        raise refuse("offset", accepted, text)
    return read_count(values, "offset", 0, 0, max_offset)


def _cursor(values: Mapping[str, str], wanted: SearchFilter) -> Cursor | None:
    text = values.get("cursor")
    if text is None:
        return None
    try:
        return decode_cursor(text, wanted)
    except BadCursorError as error:
        raise refuse("cursor", f"the next_cursor of an answer to the same query: {error}", text) from None


def read_stats_filter(query: bytes) -> SearchFilter:
    """What the counts are asked of. Raises Problem."""
    return read_filter(read_query(query, STATS_PARAMETERS))


def read_histogram_request(query: bytes) -> HistogramRequest:
    """The counts over time that are asked for. Raises Problem."""
    values = read_query(query, HISTOGRAM_PARAMETERS)
    wanted = read_filter(values)
    by = _SERIES.get(values.get("by", "severity"))
    if by is None:
        raise refuse("by", "severity or source", values["by"])
    return HistogramRequest(wanted, _interval(values, wanted), by)


def _interval(values: Mapping[str, str], wanted: SearchFilter) -> timedelta:
    text = values.get("interval")
    if text is None:
        return usual_interval(wanted.start, wanted.end)
    matched = _INTERVAL.fullmatch(text)
    interval = timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else timedelta()
    if not timedelta() < interval <= _MOST_INTERVAL:
        raise refuse("interval", "whole minutes, hours or days, such as 15m, 1h or 1d, up to 366d", text)
    if (wanted.end - wanted.start) / interval > MOST_INTERVALS:
        accepted = f"one of which the range has at most {MOST_INTERVALS:,}"
        raise refuse("interval", accepted, text)
    return interval


def read_top_request(query: bytes) -> TopRequest:
    """The values of a field that are asked for. Raises Problem."""
    values = read_query(query, TOP_PARAMETERS)
    limit = read_count(values, "limit", DEFAULT_VALUES, 1, MOST_VALUES)
    return TopRequest(read_filter(values), read_field(values.get("field", "")), limit)


def read_field(name: str, parameter: str = "field") -> TopField:
    """The field of this name. Raises Problem."""
    if name in _SERIES:
        return _SERIES[name]
    try:
        found = parse(f"{name}:*")
    except FilterError:
        found = EVERYTHING
    if not isinstance(found, Field) or not isinstance(found.place, Attribute) or found.test != Exists():
        raise refuse(parameter, "severity, source or an attribute such as user.name", name or None)
    return found.place


def read_recent_request(query: bytes) -> RecentRequest:
    """How many of the newest events, and of which severities. Raises Problem."""
    values = read_query(query, RECENT_PARAMETERS)
    return RecentRequest(read_severities(values), read_count(values, "limit", DEFAULT_LIMIT, 1, RECENT_EVENTS))


def read_context_request(identifier: str, query: bytes) -> ContextRequest:
    """The event in a path, and how many events around it are asked for. Raises Problem."""
    values = read_query(query, CONTEXT_PARAMETERS)
    before, after = (read_count(values, name, DEFAULT_AROUND, 0, MOST_AROUND) for name in ("before", "after"))
    return ContextRequest(*_event_of(identifier, values), before, after)


def read_event_request(identifier: str, query: bytes) -> tuple[UUID, datetime | None]:
    """The id in a path, and its event's exact time where that is given. Raises Problem."""
    return _event_of(identifier, read_query(query, ("timestamp",)))


def _event_of(identifier: str, values: Mapping[str, str]) -> tuple[UUID, datetime | None]:
    return read_event_id(identifier), read_moment(values, "timestamp") if "timestamp" in values else None


def read_event_id(text: str) -> UUID:
    """The id of an event. Raises Problem."""
    try:
        return UUID(text)
    except ValueError:
        raise refuse("id", "a UUID such as 019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50", text) from None
