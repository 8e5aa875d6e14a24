"""The routes: a request's parameters in, a finished body out. Nothing is decided here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from query_api.answers import json_body, metrics_body
from query_api.completeness import Lag
from query_api.departure import GoneError, until_gone
from query_api.exports.export_routes import export_endpoints
from query_api.exports.export_service import ExportService
from query_api.fields_parameters import read_facets_request, read_fields_question
from query_api.figures import metrics_answer
from query_api.health import Health
from query_api.lag_monitor import LagReport
from query_api.noted_route import NotedRoute
from query_api.parameters import (
    read_context_request,
    read_event_request,
    read_histogram_request,
    read_page_request,
    read_query,
    read_recent_request,
    read_stats_filter,
    read_top_request,
)
from query_api.reading import FiguresStore
from query_api.receipts.request import read_receipt_request
from query_api.receipts.service import Receipts
from query_api.service import QueryService
from query_api.tail.tails import Tails
from query_api.telemetry import QueryFigures, QueryKind
from threatlog.process.http_metrics import metrics_response
from threatlog.process.problems import Problem

QUERY_PATH: Final = "/api/v1/logs/query"
RECENT_PATH: Final = "/api/v1/logs/recent"
HISTOGRAM_PATH: Final = "/api/v1/logs/histogram"
TOP_PATH: Final = "/api/v1/logs/top"
FIELDS_PATH: Final = "/api/v1/logs/fields"
FACETS_PATH: Final = "/api/v1/logs/facets"
EXPLAIN_PATH: Final = "/api/v1/logs/explain"
EVENT_PATH: Final = "/api/v1/logs/{id}"
CONTEXT_PATH: Final = "/api/v1/logs/{id}/context"
STATS_PATH: Final = "/api/v1/stats"
METRICS_PATH: Final = "/api/v1/metrics"
LAG_PATH: Final = "/api/v1/lag"
RECEIPTS_PATH: Final = "/api/v1/receipts"

# As others log it; nobody reads it.
_CLIENT_GONE: Final = 499

Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Request], Awaitable[bytes]]


class LagSource(Protocol):
    """The whole report about the lag, and the one line of it."""

    def report(self) -> LagReport: ...
    def lag(self) -> Lag: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes need."""

    service: QueryService
    figures_store: FiguresStore
    lag: LagSource
    health: Health
    figures: QueryFigures
    max_offset: int
    exports: ExportService
    tails: Tails
    receipts: Receipts


def query_routes(parts: Parts) -> list[BaseRoute]:
    """The routes of events. Their order matters: an id may not look like a name."""
    service = parts.service

    async def event(request: Request) -> bytes:
        return await service.event(*read_event_request(request.path_params["id"], _query(request)))

    async def context(request: Request) -> bytes:
        return await service.context(read_context_request(request.path_params["id"], _query(request)))

    answers: dict[str, tuple[QueryKind, Answer]] = {
        QUERY_PATH: ("query", lambda asked: service.page(read_page_request(_query(asked), parts.max_offset))),
        RECENT_PATH: ("recent", lambda asked: service.recent(read_recent_request(_query(asked)))),
        HISTOGRAM_PATH: ("histogram", lambda asked: service.histogram(read_histogram_request(_query(asked)))),
        TOP_PATH: ("top", lambda asked: service.top(read_top_request(_query(asked)))),
        FIELDS_PATH: ("fields", lambda asked: service.fields(read_fields_question(_query(asked)))),
        FACETS_PATH: ("facets", lambda asked: service.facets(read_facets_request(_query(asked)))),
        EXPLAIN_PATH: ("explain", lambda asked: service.explain(read_stats_filter(_query(asked)))),
        EVENT_PATH: ("event", event),
        CONTEXT_PATH: ("context", context),
        STATS_PATH: ("stats", lambda asked: service.stats(read_stats_filter(_query(asked)))),
        RECEIPTS_PATH: ("receipt", lambda asked: parts.receipts.answer(read_receipt_request(_query(asked)))),
    }
    return [NotedRoute(path, _counted(parts.figures, kind, answer)) for path, (kind, answer) in answers.items()]


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _counted(figures: QueryFigures, kind: QueryKind, answer: Answer) -> Endpoint:
    """The route of a question, with its latency."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        is_question = True
        try:
            return _json(await until_gone(request, answer(request)))
        except GoneError:
            return Response(status_code=_CLIENT_GONE)
        except Problem as problem:
            is_question = problem.status != HTTPStatus.UNPROCESSABLE_ENTITY
            raise
        finally:
            # Those that failed too, or the slowest of all would not be among the latencies.
            if is_question:
                figures.ended(kind, time.perf_counter() - started)

    return endpoint


def export_routes(parts: Parts) -> list[BaseRoute]:
    """The routes of exports."""
    return [NotedRoute(path, endpoint, methods=[method]) for path, method, endpoint in export_endpoints(parts.exports)]


def operator_routes(parts: Parts, registry: CollectorRegistry) -> list[BaseRoute]:
    """Figures, lag, health and Prometheus metrics."""

    async def metrics(request: Request) -> Response:
        read_query(request.scope["query_string"], ())
        figures = metrics_answer(*await parts.figures_store.figures())
        return _json(metrics_body(figures, parts.lag.report(), parts.lag.lag()))

    async def lag(request: Request) -> Response:
        read_query(request.scope["query_string"], ())
        return _json(json_body(parts.lag.report()))

    async def health(_request: Request) -> Response:
        return _json(json_body(await parts.health.check()))

    async def ready(_request: Request) -> Response:
        await parts.health.check()
        return _json(b'{"status":"ready"}')

    async def alive(_request: Request) -> Response:
        return _json(b'{"status":"alive"}')

    async def prometheus(_request: Request) -> Response:
        return metrics_response(registry)

    return [
        NotedRoute(METRICS_PATH, metrics),
        NotedRoute(LAG_PATH, lag),
        NotedRoute("/health", health),
        NotedRoute("/readyz", ready),
        NotedRoute("/livez", alive),
        NotedRoute("/metrics", prometheus),
    ]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
