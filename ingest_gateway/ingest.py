"""POST /api/v1/logs/ingest and /batch: a request in, an answer out only after Kafka's acknowledgement.

Both are plain ASGI endpoints: FastAPI's own request handling costs 30 us more, a third of what a single event may take.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn
from uuid import UUID

import msgspec

from ingest_gateway.acceptance import Acceptance, Rejection, accept, accept_event
from ingest_gateway.bodies import JSON, NDJSON, batch_of_json, batch_of_ndjson, decompress, media_type
from ingest_gateway.contract import (
    CONTENT_TYPE,
    CONTENT_TYPE_HEADER,
    CONTRACT_VERSION,
    TRACEPARENT_HEADER,
    VERSION_HEADER,
    EventLimits,
    RejectedEventError,
    decode_received,
)
from ingest_gateway.event_ids import RANDOM_BYTES, IdempotentIds, IdSource, TimeOrderedIds, idempotency_key
from ingest_gateway.metrics import GatewayMetrics
from ingest_gateway.publishing import EventPublisher, PublishUnavailableError, Receipt, RecordHeaders
from ingest_gateway.request_body import SenderGoneError, receive_body
from threatlog.process.http_metrics import Receive, Scope, Send
from threatlog.process.problems import Problem, internal_error

# A refused batch of 5,000 needs no megabyte of answer; `rejected` still counts every one.
MAX_LISTED_ERRORS: Final = 100
_PLAIN_HEADERS: Final = (
    (CONTENT_TYPE_HEADER, CONTENT_TYPE.encode()),
    (VERSION_HEADER, str(CONTRACT_VERSION).encode()),
)
_MAX_TRACEPARENT_BYTES: Final = 256
log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class BatchAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a batch is answered: `ids` in order with null for a refused item, `errors` at most the first 100."""

    accepted: int
    rejected: int
    ids: Sequence[UUID | str | None]
    errors: Sequence[Rejection]
    receipts: Sequence[Receipt]


class SinglePlace(msgspec.Struct, frozen=True, gc=False):
    """Where a single event lies in Kafka."""

    partition: int
    offset: int | None


class SingleAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a single event is answered."""

    id: UUID | str
    status: str
    timestamp: datetime
    receipt: SinglePlace


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What one request may measure, and how long its body may take."""

    event: EventLimits
    max_body_bytes: int
    max_decompressed_bytes: int
    max_batch_events: int
    body_timeout_s: float


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What both endpoints work with."""

    publisher: EventPublisher
    metrics: GatewayMetrics
    limits: IngestLimits
    now: Callable[[], datetime] = utc_now
    random_bytes: Callable[[int], bytes] = os.urandom


@dataclass(slots=True)
class _Request:
    media_type: str
    body: bytes
    key: bytes | None
    record_headers: RecordHeaders


class _Endpoint:
    """What the two endpoints share: reading the request, and answering errors."""

    media_types: tuple[str, ...] = (JSON,)

    def __init__(self, parts: IngestParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI)."""
        try:
            body = await self._answer(await self._read(scope, receive))
        except SenderGoneError:
            return
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        except Exception:
            log.exception("a request could not be answered")
            await internal_error().response()(scope, receive, send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": 201,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _read(self, scope: Scope, receive: Receive) -> _Request:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        limits = self._parts.limits
        kind = media_type(headers.get(b"content-type"), self.media_types)
        key = idempotency_key(headers.get(b"idempotency-key"))
        wire = await receive_body(receive, headers.get(b"content-length"), limits.max_body_bytes, limits.body_timeout_s)
        body = decompress(wire, headers.get(b"content-encoding"), limits.max_decompressed_bytes)
        self._parts.metrics.body_received(len(wire), len(body))
        return _Request(kind, body, key, _record_headers(headers.get(b"traceparent")))

    async def _answer(self, request: _Request) -> bytes:
        raise NotImplementedError

    def _ids(self, request: _Request) -> IdSource:
        if request.key is not None:
            return IdempotentIds(request.key)
        return TimeOrderedIds(self._parts.random_bytes(RANDOM_BYTES))

    async def _publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:
        try:
            return await self._parts.publisher.publish(values, headers)
        except PublishUnavailableError as error:
            self._parts.metrics.unavailable(error.code)
            raise Problem(503, error.code, error.detail, error.retry_after_s) from None


class SingleEndpoint(_Endpoint):
    """One event a request."""

    async def _answer(self, request: _Request) -> bytes:
        parts = self._parts
        try:
            event = decode_received(request.body)
            identifier, timestamp, value = accept_event(event, 0, parts.limits.event, parts.now(), self._ids(request))
        except RejectedEventError as error:
            self._refuse(error)
        receipt = (await self._publish([value], request.record_headers))[0]
        parts.metrics.events_decided(1, ())
        place = SinglePlace(receipt.partition, receipt.offset)
        return _encode(SingleAnswer(identifier, "ingested", timestamp, place))

    def _refuse(self, error: RejectedEventError) -> NoReturn:
        self._parts.metrics.events_decided(0, (Rejection(0, error.code, error.detail),))
        status = 400 if error.code == "not_json" else 413 if error.code.endswith("_too_large") else 422
        raise Problem(status, error.code, error.detail) from None


class BatchEndpoint(_Endpoint):
    """Many events a request, as `{"logs": [...]}` or one a line."""

    media_types = (JSON, NDJSON)

    async def _answer(self, request: _Request) -> bytes:
        parts = self._parts
        decode = batch_of_ndjson if request.media_type == NDJSON else batch_of_json
        items = decode(request.body, parts.limits.max_batch_events)
        accepted = accept(items, parts.limits.event, parts.now(), self._ids(request))
        if not accepted.values:
            parts.metrics.events_decided(0, accepted.rejections)
            raise _all_refused(accepted)
        count = len(accepted.values)
        receipts = await self._publish(accepted.values, request.record_headers)
        parts.metrics.events_decided(count, accepted.rejections)
        errors = accepted.rejections[:MAX_LISTED_ERRORS]
        return _encode(BatchAnswer(count, len(accepted.rejections), accepted.ids, errors, receipts))


def _all_refused(accepted: Acceptance) -> Problem:
    rejections = accepted.rejections
    listed = rejections[:MAX_LISTED_ERRORS]
    detail = f"none of the {len(rejections)} events can be stored; the first: {listed[0].detail}"
    errors = [{"index": error.index, "code": error.code, "detail": error.detail} for error in listed]
    return Problem(422, "all_rejected", detail, extra={"accepted": 0, "rejected": len(rejections), "errors": errors})


def _record_headers(traceparent: bytes | None) -> RecordHeaders:
    if not traceparent or len(traceparent) > _MAX_TRACEPARENT_BYTES:
        return _PLAIN_HEADERS
    return (*_PLAIN_HEADERS, (TRACEPARENT_HEADER, traceparent))
