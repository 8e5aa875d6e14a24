"""The OpenAPI description of the two ingestion routes, which FastAPI does not see."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingest_gateway.bodies import JSON, NDJSON
from ingest_gateway.compression import ENCODINGS
from ingest_gateway.contract import REJECTION_CODES, SEVERITIES, SEVERITY_ALIASES
from threatlog.access.authentication import RouteScopes
from threatlog.access.openapi import describe_keys
from threatlog.process.problems import CONTENT_TYPE as PROBLEM
from threatlog.process.settings import Limits

INGEST_PATH: Final = "/api/v1/logs/ingest"
BATCH_PATH: Final = "/api/v1/logs/ingest/batch"

_EVENT: Final = {
    "timestamp": "2026-11-24T10:15:30.123Z",
    "severity": "HIGH",
    "source": "web-01.example.net",
    "message": "Failed password for root from 203.0.113.7 port 52144 ssh2",
    "attributes": {"user": "root", "client_ip": "203.0.113.7"},
}
_ID: Final = "019ab549-2e4b-7c3e-9f0a-5b1d2c3e4f50"
_SINGLE_ANSWER: Final = {
    "id": _ID,
    "status": "ingested",
    "timestamp": _EVENT["timestamp"],
    "receipt": {"partition": 3, "offset": 41},
}
_BATCH_ANSWER: Final = {
    "accepted": 1,
    "rejected": 1,
    "ids": [_ID, None],
    "errors": [{"index": 1, "code": "bad_severity", "detail": "severity 'LOUD' is not one of INFO, LOW, MEDIUM, …"}],
    "receipts": [{"partition": 3, "offset": 41, "count": 1}],
}


def describe_ingestion(app: FastAPI, limits: Limits, routes: RouteScopes) -> None:
    """Makes `app.openapi()` include the ingestion routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(
                Event=_event(limits), Problem=_problem()
            )
            schema["paths"][INGEST_PATH] = {"post": _single()}
            schema["paths"][BATCH_PATH] = {"post": _batch(limits)}
            describe_keys(schema, routes)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the description.


def _event(limits: Limits) -> dict[str, Any]:
    aliases = ", ".join(f"{spelling} = {canonical}" for spelling, canonical in SEVERITY_ALIASES.items())
    return {
        "type": "object",
        "required": ["severity", "source", "message"],
        "additionalProperties": False,
        "properties": {
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "when it happened, RFC 3339 with a time zone; absent: the time of receipt",
            },
            "severity": {
                "type": "string",
                "description": f"{', '.join(reversed(SEVERITIES))}; in any case also {aliases}",
            },
            "source": {"type": "string", "minLength": 1, "maxLength": limits.max_source_chars},
            "message": {"type": "string", "description": f"at most {limits.max_message_bytes} bytes of UTF-8"},
            "attributes": {
                "type": "object",
                "description": f"kept as it came; at most {limits.max_attributes_bytes} bytes and "
                f"{limits.max_attributes_depth} levels",
            },
            "id": {
                "type": "string",
                "format": "uuid",
                "description": "yours to repeat a request safely; needs a timestamp unless it is a version-7 id",
            },
        },
        "example": _EVENT,
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "retryable"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": f"for a refused event one of {', '.join(REJECTION_CODES)}"},
            "retryable": {"type": "boolean", "description": "whether the same request may succeed later"},
            "may_be_stored": {
                "type": "boolean",
                "description": "with 429 and 503: whether the events may be stored in spite of this answer",
            },
        },
    }


def _single() -> dict[str, Any]:
    return {
        "tags": ["ingestion"],
        "summary": "Take one event",
        "description": "Answers 201 only when every in-sync replica of Kafka has the event.",
        "parameters": _parameters(),
        "requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Event"}}}},
        "responses": _responses("The event is safe in Kafka", _SINGLE_ANSWER),
    }


def _batch(limits: Limits) -> dict[str, Any]:
    logs = {"type": "array", "maxItems": limits.max_batch_events, "items": {"$ref": "#/components/schemas/Event"}}
    document = {"type": "object", "required": ["logs"], "properties": {"logs": logs}, "example": {"logs": [_EVENT]}}
    lines = {"type": "string", "description": "one event a line", "example": '{"severity":"LOW",…}\n'}
    return {
        "tags": ["ingestion"],
        "summary": "Take many events",
        "description": "Good events are kept whatever is wrong with the others; `ids` has null for a refused one, "
        "`errors` says why.",
        "parameters": _parameters(),
        "requestBody": {"required": True, "content": {JSON: {"schema": document}, NDJSON: {"schema": lines}}},
        "responses": _responses("The accepted events are safe in Kafka", _BATCH_ANSWER),
    }


def _parameters() -> list[dict[str, Any]]:
    key = (
        "A retry with the same key and body adds nothing, whenever it comes; each request has a key of its own, "
        "and every event needs a timestamp or a "
    )
    return [
        {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}, "description": key + "version-7 id."},
        {"name": "Content-Encoding", "in": "header", "schema": {"type": "string", "enum": list(ENCODINGS)}},
    ]


def _responses(description: str, example: dict[str, Any]) -> dict[str, Any]:
    problems = {
        "400": "The body is missing, not JSON, or not what its Content-Encoding says; or a header is wrong",
        "408": "The body did not arrive in time; nothing was kept",
        "413": "Something is larger than /api/v1/limits allows",
        "415": "The content type or encoding is not supported",
        "422": "No event can be stored",
        "429": "The API key has used its quota; nothing was kept, and Retry-After says when to try again",
        "503": "Kafka did not acknowledge, more comes than it takes, or this process is stopping; may_be_stored says "
        "whether the events may be stored all the same, Retry-After when to try again",
    }
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "201": {"description": description, "content": {JSON: {"example": example}}},
        **{status: {"description": text, "content": content} for status, text in problems.items()},
    }
