"""The OpenAPI description of the query API's routes, which FastAPI does not see, with examples."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingest_gateway.contract import SEVERITIES, SEVERITY_ALIASES
from query_api.absent_ids import KEPT_S
from query_api.aggregation import DEFAULT_VALUES, MOST_INTERVALS, MOST_SERIES, MOST_VALUES
from query_api.exports.export_openapi import export_paths
from query_api.filter_language.parse import MAX_CHARS
from query_api.openapi_examples import (
    CONTEXT,
    EVENT,
    EVENT_ANSWER,
    EXPLAIN,
    FACETS,
    FIELDS,
    FILTER,
    HEALTH,
    HISTOGRAM,
    LAG,
    METRICS,
    PAGE,
    RECENT,
    STATS,
    TOP,
)
from query_api.openapi_fields import FACETS_TEXT, FIELDS_TEXT, facets_asked, fields_asked
from query_api.page.described import page_paths
from query_api.parameters import DEFAULT_AROUND, MOST_AROUND
from query_api.receipts.openapi import receipts_description
from query_api.routes import (
    CONTEXT_PATH,
    EVENT_PATH,
    EXPLAIN_PATH,
    FACETS_PATH,
    FIELDS_PATH,
    HISTOGRAM_PATH,
    LAG_PATH,
    METRICS_PATH,
    QUERY_PATH,
    RECEIPTS_PATH,
    RECENT_PATH,
    STATS_PATH,
    TOP_PATH,
)
from query_api.search import DEFAULT_LIMIT, MAX_LIMIT
from query_api.tail.openapi import tail_description
from query_api.tail.routes import TAIL_PATH
from stream_app.contract import RECENT_EVENTS
from threatlog.access.authentication import RouteScopes
from threatlog.access.openapi import describe_keys
from threatlog.process.problems import CONTENT_TYPE as PROBLEM

JSON: Final = "application/json"
_Described = dict[str, Any]


def describe(app: FastAPI, max_offset: int, routes: RouteScopes) -> None:
    """Makes `app.openapi()` include every route."""

    def openapi() -> _Described:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(_schemas())
            narrowing = [_severity(), _source(), _filter()]
            more = {TAIL_PATH: tail_description(narrowing), RECEIPTS_PATH: receipts_description()}
            paths = {**_paths(max_offset), **more, **page_paths()}
            schema["paths"].update({path: {"get": route} for path, route in paths.items()})
            schema["paths"].update(export_paths())
            describe_keys(schema, routes)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the description.


def _paths(max_offset: int) -> dict[str, _Described]:
    narrowing = [_moment("start_time", "first moment that counts"), _moment("end_time", "first that does not")]
    narrowing += [_severity(), _source(), _filter()]
    return {
        QUERY_PATH: _route(
            "events", "Events of a time range, newest first", _PAGE_TEXT, PAGE, narrowing + _page(max_offset)
        ),
        RECENT_PATH: _route("events", "The newest events", _RECENT_TEXT, RECENT, [_severity(), _limit(RECENT_EVENTS)]),
        HISTOGRAM_PATH: _route(
            "events", "Counts over time, by severity or source", _HISTOGRAM_TEXT, HISTOGRAM, narrowing + _histogram()
        ),
        TOP_PATH: _route(
            "events", "The most frequent values of a field", _TOP_TEXT, TOP, [*narrowing, _field(), _values()]
        ),
        FIELDS_PATH: _route("events", "The fields that events have", FIELDS_TEXT, FIELDS, narrowing + fields_asked()),
        FACETS_PATH: _route(
            "events", "The most frequent values of several fields", FACETS_TEXT, FACETS, narrowing + facets_asked()
        ),
        EXPLAIN_PATH: _route(
            "events", "How a filter is understood, and what it costs", _EXPLAIN_TEXT, EXPLAIN, narrowing
        ),
        EVENT_PATH: _route("events", "One event", _EVENT_TEXT, EVENT_ANSWER, _event(), absent=True),
        CONTEXT_PATH: _route(
            "events", "What the same source logged around an event", _CONTEXT_TEXT, CONTEXT, _context(), absent=True
        ),
        STATS_PATH: _route("events", "Counts by severity and source", _STATS_TEXT, STATS, narrowing),
        METRICS_PATH: _route("operation", "Figures over all processes", _METRICS_TEXT, METRICS, []),
        LAG_PATH: _route("operation", "How far storage is behind Kafka", _LAG_TEXT, LAG, []),
        "/health": _route("operation", "Whether questions can be answered", _HEALTH_TEXT, HEALTH, []),
        "/readyz": _route("operation", "Whether this process should get requests", "", {"status": "ready"}, []),
        "/livez": _route("operation", "Whether this process runs", "", {"status": "alive"}, []),
        "/metrics": {
            "tags": ["operation"],
            "summary": "Metrics in Prometheus' text format",
            "responses": {"200": {"description": "The metrics", "content": {"text/plain": {}}}},
        },
    }


_PAGE_TEXT: Final = (
    "`total` is the exact number of matching events, counted in the same snapshot as the page. `next_cursor`, sent as "
    "`cursor` with the same other parameters, gives the next page at the same cost however deep; its `total` is then "
    "the first page's, exact as of `total_complete_until`. Every event acknowledged before `complete_until` is in the "
    "answer; where that is null, `incomplete_reason` says why. A page ends early, with a `count` below `limit` and a "
    "`next_cursor`, where its events would be larger than about 16 MiB together. An answer may be repeated from a "
    "cache: `cached` and `age_ms` say so. It was never older than `cache.ttl` when it was asked for, or than "
    "`cache.open_range_ttl` while the range is still filling; an event that arrives late, with a time in a range that "
    "was complete, appears when that time is over. `lag` is that of now, also with a cached answer."
)
_HISTOGRAM_TEXT: Final = (
    "Intervals begin at whole multiples of `interval` since 1970-01-01 00:00 UTC; those without events are left out. "
    f"By source the {MOST_SERIES} largest are listed, `other` are the events of the others. From counts, and exact; "
    "with a `q` that only events can answer they are counted one by one, for at most `query.search_budget`: where "
    "`scanned_until` is not null, the counts are of the events from there on."
)
_TOP_TEXT: Final = (
    "Values as text; of a list each element counts, objects have none. `distinct` says how many values there are, "
    "`total` how often they were met. Of severity and source from counts, and exact. Of attributes, or with a `q` that "
    "only events can answer, they are counted one by one as in a histogram. `is_exact` is false where there were too "
    "many values, or values too long, to keep them all: `forgotten` of `total` are then in none of the counts, each of "
    "which may be too low by at most `undercount_at_most`, and `distinct` is a lower bound."
)
_EXPLAIN_TEXT: Final = (
    "Nothing is searched. `query` is the filter as it was understood, written in full. A filter of severities and "
    "sources is answered from `counts`: totals are exact. Any other looks at `events`, newest first, for at most "
    "`budget_ms`: `events_to_read` says how many there are to look at if the page does not fill before, `expected_ms` "
    "about how long that takes."
)
_RECENT_TEXT: Final = (
    "By their own time, at most ten minutes ahead of now. From Redis while its lists are whole and not older than two "
    "seconds, otherwise from PostgreSQL: `served_from` says which, the events are the same. There are fewer than "
    "`limit` where they would be larger than about 16 MiB together."
)
_EVENT_TEXT: Final = (
    "An id made by ThreatLog, or a version-7 id made at the event's time, is found at once. For any other, `timestamp` "
    "makes it quick; without it every day is searched, newest first, and what was not found is searched for again only "
    f"after {KEPT_S:g} seconds."
)
_CONTEXT_TEXT: Final = (
    "The nearest events of the same source before and after it, oldest first, of a week to each side. The event itself "
    "is found as at its own address. A source that logs rarely while others log much is looked for as long as a search "
    "may take: where `scanned_since` is not null, there may be more before it, and after `scanned_until`, which "
    "`/api/v1/logs/query` with that source finds."
)
_STATS_TEXT: Final = (
    "Exact. `by_source` has the 100 largest sources; `other` says how many more there are. With a `q` that only events "
    "can answer they are counted one by one, for at most `query.search_budget`: where `scanned_until` is not null, the "
    "counts are of the events from there on."
)
_METRICS_TEXT: Final = (
    "Counts since the first start of any process, those of processes that are gone included. Ingestion latency is from "
    "received to stored. `ingestion_rate` is events stored per second over the last ten seconds. `uptime_seconds` is "
    "that of the oldest process alive. A latency is null while there was none. `complete_until` and `lag` are as last "
    "looked at in the background."
)
_LAG_TEXT: Final = (
    "End offset in Kafka less the offset stored in PostgreSQL, refreshed each second in the background; true also when "
    "no worker lives. `seconds_to_catch_up` is null while a lag does not shrink; that of `total` is the slowest "
    "partition's. `stale` when Kafka or PostgreSQL did not answer lately: then as last known at `as_of`."
)
_HEALTH_TEXT: Final = (
    "Without Redis `degraded`, still 200: every answer is the same, only slower. Without PostgreSQL 503."
)


def _route(
    tag: str, summary: str, description: str, example: object, parameters: list[_Described], *, absent: bool = False
) -> _Described:
    problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    problems = {
        "422": "A parameter is missing, wrong or unknown; the problem names it",
        "503": "PostgreSQL cannot be used now, or is busy; Retry-After says when to try again",
        "504": "The query took longer than `query.statement_timeout`; Retry-After says when to try it again as it is",
    }
    if absent:
        problems["404"] = "No such event; `complete_until` says how complete that is"
    return {
        "tags": [tag],
        "summary": summary,
        "description": description,
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": {JSON: {"example": example}}},
            **{status: {"description": text, "content": problem} for status, text in sorted(problems.items())},
        },
    }


def _parameter(name: str, schema: _Described, description: str, *, required: bool = False) -> _Described:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


def _moment(name: str, meaning: str) -> _Described:
    schema = {"type": "string", "format": "date-time"}
    found = _parameter(name, schema, f"{meaning}, RFC 3339 with a zone", required=True)
    return {**found, "example": "2026-11-24T10:00:00Z" if name == "start_time" else "2026-11-24T11:00:00Z"}


def _severity() -> _Described:
    aliases = ", ".join(f"{spelling} = {canonical}" for spelling, canonical in SEVERITY_ALIASES.items())
    text = f"one or more of {', '.join(reversed(SEVERITIES))} with commas; in any case also {aliases}"
    return _parameter("severity", {"type": "string", "example": "CRITICAL,HIGH"}, text)


def _source() -> _Described:
    return _parameter("source", {"type": "string", "example": EVENT["source"]}, "the whole name of one source")


def _filter() -> _Described:
    text = (
        'a filter: words and "phrases" of the message, field:value, >=, *, /expression/, networks, -, AND, OR and '
        "parentheses; see docs/filter-language.md"
    )
    return _parameter("q", {"type": "string", "maxLength": MAX_CHARS, "example": FILTER}, text)


def _histogram() -> list[_Described]:
    text = f"whole minutes, hours or days; without it one that gives at most 100, and at most {MOST_INTERVALS:,}"
    by = {"type": "string", "enum": ["severity", "source"], "default": "severity"}
    schema = {"type": "string", "pattern": "^[0-9]+[mhd]$", "example": "15m"}
    return [_parameter("interval", schema, text), _parameter("by", by, "what each interval is divided by")]


def _field() -> _Described:
    text = "`severity`, `source` or an attribute by its path, as in a filter"
    return _parameter("field", {"type": "string", "example": "client_ip"}, text, required=True)


def _values() -> _Described:
    schema = {"type": "integer", "minimum": 1, "maximum": MOST_VALUES, "default": DEFAULT_VALUES}
    return _parameter("limit", schema, "most values in the answer")


def _limit(most: int) -> _Described:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": DEFAULT_LIMIT}
    return _parameter("limit", schema, "most events in the answer")


def _page(max_offset: int) -> list[_Described]:
    schema = {"type": "integer", "minimum": 0, "maximum": max_offset, "default": 0}
    return [
        _limit(MAX_LIMIT),
        _parameter("offset", schema, "events to leave out; for deeper pages use `cursor`"),
        _parameter("cursor", {"type": "string"}, "`next_cursor` of the page before"),
    ]


def _event() -> list[_Described]:
    schema = {"type": "string", "format": "uuid", "example": EVENT["id"]}
    path = {"name": "id", "in": "path", "required": True, "schema": schema, "description": "the event's id"}
    moment = {"type": "string", "format": "date-time"}
    return [path, _parameter("timestamp", moment, "the event's exact time, where the id does not hold it")]


def _context() -> list[_Described]:
    schema = {"type": "integer", "minimum": 0, "maximum": MOST_AROUND, "default": DEFAULT_AROUND}
    sides = [_parameter(side, schema, f"most events {side} it") for side in ("before", "after")]
    return [*_event(), *sides]


def _schemas() -> _Described:
    kinds = {"type": "string", "title": "string", "status": "integer", "detail": "string", "code": "string"}
    properties: _Described = {name: {"type": kind} for name, kind in kinds.items()}
    properties["type"] = {"type": "string"}
    properties["retryable"] = {"type": "boolean", "description": "whether the same request may succeed later"}
    return {"Problem": {"type": "object", "required": list(properties), "properties": properties}}
