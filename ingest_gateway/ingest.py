"""POST /api/v1/logs/ingest and /batch: a request in, an answer out only after Kafka's acknowledgement.

Both are plain ASGI endpoints: FastAPI's own request handling costs 30 us more, a third of what a single event may take.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec
import orjson

from ingest_gateway.acceptance import (
    DECISION_STATUSES,
    Acceptance,
    Rejection,
    accept,
    accept_event,
    foreign_source,
    of_sources,
)
from ingest_gateway.answers import BatchAnswer, SingleAnswer, SinglePlace
from ingest_gateway.bodies import JSON, NDJSON, BatchItem, batch_of_json, batch_of_ndjson, media_type
from ingest_gateway.compression import decompress
from ingest_gateway.contract import (
    CONTENT_TYPE,
    CONTENT_TYPE_HEADER,
    CONTRACT_VERSION,
    PRODUCER_HEADER,
    TRACEPARENT_HEADER,
    VERSION_HEADER,
    EventLimits,
    RejectedEventError,
    decode_received,
)
from ingest_gateway.event_ids import RANDOM_BYTES, IdempotentIds, IdSource, TimeOrderedIds, idempotency_key
from ingest_gateway.metrics import GatewayMetrics
from ingest_gateway.publishing import EventPublisher, PublishUnavailableError, Receipt, RecordHeaders
from ingest_gateway.quotas import RequestPlace, Requests
from ingest_gateway.request_body import BodyLimits, HeldBytes, RequestBytes, SenderGoneError, receive_body
from threatlog.access.caller import caller_of
from threatlog.process.http_metrics import Receive, Scope, Send
from threatlog.process.problems import Problem, internal_error

_PLAIN_HEADERS: Final = (
    (CONTENT_TYPE_HEADER, CONTENT_TYPE.encode()),
    (VERSION_HEADER, str(CONTRACT_VERSION).encode()),
)
_MAX_TRACEPARENT_BYTES: Final = 256
# A request has each of these once; which of two is meant nobody can tell.
_SINGLE_HEADERS: Final = (b"content-type", b"content-encoding", b"idempotency-key")
# What one refusal takes until its answer is sent, about: its text, its objects, and its part of the answer.
_REJECTION_BYTES: Final = 512
log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What one request may measure, and how long its body may take."""

    event: EventLimits
    body: BodyLimits
    max_decompressed_bytes: int
    max_batch_events: int


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What both endpoints work with."""

    publisher: EventPublisher
    metrics: GatewayMetrics
    limits: IngestLimits
    request_bytes: RequestBytes
    requests: Requests
    now: Callable[[], datetime] = utc_now
    random_bytes: Callable[[int], bytes] = os.urandom


@dataclass(slots=True)
class _Request:
    media_type: str
    body: bytes
    ids: IdSource
    place: RequestPlace


Decided = TypeVar("Decided")


class _Endpoint(Generic[Decided]):
    """What the two endpoints share: reading the request, and answering errors."""

    media_types: tuple[str, ...] = (JSON,)

    def __init__(self, parts: IngestParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI)."""
        try:
            with (
                self._parts.requests.begin(caller_of(scope)) as place,
                HeldBytes(self._parts.request_bytes) as held,
            ):
                decided, record_headers = await self._receive(scope, receive, held, place)
                body = await self._answer(decided, record_headers, held)
                place.accepted(self._count(decided))
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

    async def _receive(
        self, scope: Scope, receive: Receive, held: HeldBytes, place: RequestPlace
    ) -> tuple[Decided, RecordHeaders]:
        """Reads the request and decides on it. Its body is gone when this returns: Kafka may take seconds."""
        headers = _headers_of(scope)
        limits, metrics = self._parts.limits, self._parts.metrics
        kind = media_type(headers.get(b"content-type"), self.media_types)
        key = idempotency_key(headers.get(b"idempotency-key"))
        length = headers.get(b"content-length")
        wire = await receive_body(receive, length, limits.body, held)
        body = decompress(wire, headers.get(b"content-encoding"), limits.max_decompressed_bytes)
        metrics.body_received(len(wire), len(body))
        if body is not wire:
            held.grow(len(body))
        ids = TimeOrderedIds(self._parts.random_bytes(RANDOM_BYTES)) if key is None else IdempotentIds(key)
        decided = self._decide(_Request(kind, body, ids, place))
        place.charge(self._count(decided), len(body))
        held.replace(0)
        return decided, _record_headers(headers.get(b"traceparent"), place.producer)

    def _decide(self, request: _Request) -> Decided:
        raise NotImplementedError

    def _count(self, decided: Decided) -> int:
        raise NotImplementedError

    async def _answer(self, decided: Decided, headers: RecordHeaders, held: HeldBytes) -> bytes:
        raise NotImplementedError

    async def _publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:
        try:
            return await self._parts.publisher.publish(values, headers)
        except PublishUnavailableError as error:
            self._parts.metrics.unavailable(error.code)
            raise _unavailable(error) from None
        except asyncio.CancelledError:
            # The stop cuts off what it has waited for long enough.
            self._parts.metrics.unavailable("stopping")
            cut_off = PublishUnavailableError("stopping", "this gateway is stopping", may_arrive=True)
            raise _unavailable(cut_off) from None


class SingleEndpoint(_Endpoint[tuple[UUID | str, datetime, bytes]]):
    """One event a request."""

    def _decide(self, request: _Request) -> tuple[UUID | str, datetime, bytes]:
        parts = self._parts
        try:
            event, now, sources = decode_received(request.body), parts.now(), request.place.sources
            request.place.saw([event], now)
            if sources is not None and event.source not in sources:
                raise foreign_source(event.source, sources)
            return accept_event(event, 0, parts.limits.event, now, request.ids)
        except RejectedEventError as error:
            refused = (Rejection(0, error.code, error.detail),)
            request.place.rejected(refused)
            parts.metrics.events_decided(0, refused)
            raise Problem(DECISION_STATUSES[error.code], error.code, error.detail) from None

    def _count(self, decided: tuple[UUID | str, datetime, bytes]) -> int:  # noqa: ARG002
        return 1

    async def _answer(
        self,
        decided: tuple[UUID | str, datetime, bytes],
        headers: RecordHeaders,
        held: HeldBytes,  # noqa: ARG002
    ) -> bytes:
        identifier, timestamp, value = decided
        receipt = (await self._publish([value], headers))[0]
        self._parts.metrics.events_decided(1, ())
        place = SinglePlace(receipt.partition, receipt.offset)
        return _encode(SingleAnswer(identifier, "ingested", timestamp, place))


class BatchEndpoint(_Endpoint[Acceptance]):
    """Many events a request, as `{"logs": [...]}` or one a line."""

    media_types = (JSON, NDJSON)

    def _decide(self, request: _Request) -> Acceptance:
        parts = self._parts
        decode = batch_of_ndjson if request.media_type == NDJSON else batch_of_json
        items: Sequence[BatchItem] = decode(request.body, parts.limits.max_batch_events)
        place, now = request.place, parts.now()
        place.saw(items, now)
        if place.sources is not None:
            items = of_sources(items, place.sources)
        accepted = accept(items, parts.limits.event, now, request.ids)
        place.rejected(accepted.rejections)
        if not accepted.values:
            parts.metrics.events_decided(0, accepted.rejections)
            raise _all_refused(accepted.rejections)
        return accepted

    def _count(self, decided: Acceptance) -> int:
        return len(decided.values)

    async def _answer(self, decided: Acceptance, headers: RecordHeaders, held: HeldBytes) -> bytes:
        count, refused = len(decided.values), len(decided.rejections)
        if refused:
            held.replace(refused * _REJECTION_BYTES)
        receipts = await self._publish(decided.values, headers)
        self._parts.metrics.events_decided(count, decided.rejections)
        return _encode(BatchAnswer(count, refused, decided.ids, decided.rejections, receipts))


def _all_refused(rejections: Sequence[Rejection]) -> Problem:
    detail = f"none of the {len(rejections)} events can be stored; the first: {rejections[0].detail}"
    errors = orjson.Fragment(_encode(rejections))
    return Problem(422, "all_rejected", detail, extra={"accepted": 0, "rejected": len(rejections), "errors": errors})


def _unavailable(error: PublishUnavailableError) -> Problem:
    outcome = (
        "the events may still be stored; a retry with the same ids or Idempotency-Key adds nothing twice"
        if error.may_arrive
        else "nothing of this request was kept"
    )
    extra = {"may_be_stored": error.may_arrive}
    return Problem(503, error.code, f"{error.detail}; {outcome}", error.retry_after_s, extra)


def _headers_of(scope: Scope) -> dict[bytes, bytes]:
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    headers = dict(pairs)
    if len(headers) < len(pairs):
        names = [name for name, _ in pairs]
        for name in _SINGLE_HEADERS:
            if names.count(name) > 1:
                raise Problem(400, "repeated_header", f"the header {name.decode()} is there more than once")
    return headers


def _record_headers(traceparent: bytes | None, producer: bytes | None) -> RecordHeaders:
    headers: RecordHeaders = _PLAIN_HEADERS
    if traceparent and len(traceparent) <= _MAX_TRACEPARENT_BYTES:
        headers = (*headers, (TRACEPARENT_HEADER, traceparent))
    return headers if producer is None else (*headers, (PRODUCER_HEADER, producer))
