"""The gateway's ASGI application: its routes, its errors, its metrics; everything it needs is handed in."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route

from ingest_gateway.accounts_report import AccountsReport, account_routes
from ingest_gateway.health import Readiness, health_routes
from ingest_gateway.ingest import BatchEndpoint, IngestParts, SingleEndpoint
from ingest_gateway.limits_listing import limits_routes
from ingest_gateway.openapi import BATCH_PATH, INGEST_PATH, describe_ingestion
from ingest_gateway.route_scopes import ROUTE_SCOPES
from threatlog.access.authentication import Authentication
from threatlog.access.key_watch import KeyWatch
from threatlog.process.http_metrics import AsgiApp, HttpMetrics, Receive, Scope, Send, metrics_response
from threatlog.process.problems import AnswerWhenCancelled, install_problem_handlers
from threatlog.process.settings import Settings


class _IngestRoute(Route):
    """A route to a plain ASGI endpoint."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        # FastAPI's own routes leave themselves in the scope as well; the metrics read it.
        child_scope["route"] = self
        return match, child_scope


class _IngestFirst:
    """Hands the two ingestion requests straight to their endpoints; everything else, and every error, is FastAPI's.

    FastAPI's layers cost 30 us a request, a third of what a single event takes in all.
    """

    def __init__(self, app: AsgiApp, routes: Sequence[Route]) -> None:
        self._app = app
        self._routes = {("POST", route.path): route for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await _answer_head_as_get(self._app, scope, receive, send)
        else:
            scope["route"] = route
            await route.endpoint(scope, receive, send)


async def _answer_head_as_get(app: AsgiApp, scope: Scope, receive: Receive, send: Send) -> None:
    """FastAPI's routes, unlike Starlette's, know no HEAD; the server leaves the body out."""
    if scope.get("method") != "HEAD":
        await app(scope, receive, send)
        return
    as_get = {**scope, "method": "GET"}
    try:
        await app(as_get, receive, send)
    finally:
        if "route" in as_get:
            scope["route"] = as_get["route"]


def create_app(
    parts: IngestParts,
    settings: Settings,
    registry: CollectorRegistry,
    readiness: Readiness | None = None,
    keys: KeyWatch | None = None,
    accounts: AccountsReport | None = None,
) -> HttpMetrics:
    """The whole application, wrapped in its request metrics. With `keys`, only who has one is let in."""
    app = FastAPIOffline(
        title="ThreatLog gateway",
        description="Takes security events and answers when they are safe in Kafka.",
        version="1",
        redoc_url=None,
        # A redirect would go to whatever Host the request named.
        redirect_slashes=False,
    )
    ingest_routes = [
        _IngestRoute(INGEST_PATH, SingleEndpoint(parts), methods=["POST"]),
        _IngestRoute(BATCH_PATH, BatchEndpoint(parts), methods=["POST"]),
    ]
    app.router.routes.extend(ingest_routes)
    app.include_router(health_routes(parts.publisher, readiness or Readiness(), keys))
    app.include_router(account_routes(accounts, parts.requests))
    app.include_router(limits_routes(settings))

    @app.get(
        "/metrics", tags=["health"], summary="Metrics in Prometheus' text format", response_class=PlainTextResponse
    )
    async def metrics() -> Response:
        return metrics_response(registry)

    install_problem_handlers(app)
    describe_ingestion(app, settings.limits, ROUTE_SCOPES)
    inner: AsgiApp = AnswerWhenCancelled(_IngestFirst(app, ingest_routes))
    if keys is not None:
        inner = Authentication(inner, keys, ROUTE_SCOPES)
    return HttpMetrics(inner, registry, service="gateway")
