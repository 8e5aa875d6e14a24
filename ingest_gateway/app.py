"""The gateway's ASGI application: its routes, its errors, its metrics; everything it needs is handed in."""

from __future__ import annotations

import orjson
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.responses import Response
from starlette.routing import Match, Route

from ingest_gateway.health import Readiness, health_routes
from ingest_gateway.ingest import BatchEndpoint, IngestParts, SingleEndpoint
from ingest_gateway.openapi import BATCH_PATH, INGEST_PATH, describe_ingestion
from threatlog.process.http_metrics import AsgiApp, HttpMetrics, Scope, metrics_response
from threatlog.process.problems import install_problem_handlers
from threatlog.process.settings import Limits


class _AsgiRoute(Route):
    """A route to a plain ASGI endpoint that leaves itself in the scope, as FastAPI's own do, for the metrics."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        child_scope["route"] = self
        return match, child_scope


def create_app(
    parts: IngestParts,
    limits: Limits,
    registry: CollectorRegistry,
    readiness: Readiness | None = None,
) -> AsgiApp:
    """The whole application, wrapped in its request metrics."""
    app = FastAPI(
        title="ThreatLog gateway",
        description="Takes security events and answers when they are safe in Kafka.",
        version="1",
        redoc_url=None,
    )
    # First, because routes are tried in order and these two take nearly every request.
    app.router.routes.insert(0, _AsgiRoute(BATCH_PATH, BatchEndpoint(parts), methods=["POST"]))
    app.router.routes.insert(0, _AsgiRoute(INGEST_PATH, SingleEndpoint(parts), methods=["POST"]))
    app.include_router(health_routes(parts.publisher, readiness or Readiness()))
    shown_limits = orjson.dumps(limits.model_dump())

    @app.get("/api/v1/limits", tags=["limits"], summary="What one request and one event may measure")
    async def show_limits() -> Response:
        return Response(shown_limits, media_type="application/json")

    @app.get("/metrics", tags=["health"], summary="Metrics in Prometheus' text format")
    async def metrics() -> Response:
        return metrics_response(registry)

    install_problem_handlers(app)
    describe_ingestion(app, limits)
    return HttpMetrics(app, registry, service="gateway")
