"""The query API's ASGI application: its routes, its errors, its metrics; everything it needs is handed in."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.responses import Response

from query_api.openapi import describe
from query_api.page.routes import page_routes
from query_api.page.static_files import StaticFiles
from query_api.reading import QueryTimeoutError, StoreBusyError, StoreUnavailableError
from query_api.route_scopes import ROUTE_SCOPES
from query_api.routes import Parts, export_routes, operator_routes, query_routes
from query_api.tail.routes import tail_routes
from query_api.telemetry import QueryFigures
from threatlog.access.authentication import Authentication
from threatlog.access.key_watch import KeyWatch
from threatlog.process.http_metrics import AsgiApp, HttpMetrics
from threatlog.process.problems import AnswerWhenCancelled, Problem, install_problem_handlers

# The same query may well succeed when others are done, and finds in memory what it has read; at once it would only
# add to what makes it slow.
_TIMED_OUT_RETRY_AFTER_S: Final = 10


def create_app(parts: Parts, registry: CollectorRegistry, keys: KeyWatch | None = None) -> HttpMetrics:
    """The whole application, wrapped in its request metrics. With `keys`, only who has one is let in."""
    app = FastAPIOffline(
        title="ThreatLog query API",
        description="Finds stored security events. Every answer says until when it is complete.",
        version="1",
        redoc_url=None,
        # A redirect would go to whatever Host the request named.
        redirect_slashes=False,
    )
    # First, because routes are tried in order and these take nearly every request.
    app.router.routes[:0] = [
        *tail_routes(parts.tails),
        *query_routes(parts),
        *export_routes(parts),
        *operator_routes(parts, registry),
        *page_routes(StaticFiles.read()),
    ]
    install_problem_handlers(app)
    _install_store_handlers(app, parts.figures)
    describe(app, parts.max_offset, ROUTE_SCOPES)
    inner: AsgiApp = AnswerWhenCancelled(app)
    if keys is not None:
        inner = Authentication(inner, keys, ROUTE_SCOPES)
    return HttpMetrics(inner, registry, service="query")


def _install_store_handlers(app: FastAPI, figures: QueryFigures) -> None:
    async def on_unavailable(_request: Request, error: Exception) -> Response:
        figures.unavailable()
        return Problem(503, "postgres_unavailable", str(error)).response()

    async def on_busy(_request: Request, error: Exception) -> Response:
        figures.turned_away()
        return Problem(503, "busy", str(error)).response()

    async def on_timeout(_request: Request, error: Exception) -> Response:
        figures.timed_out()
        detail = f"{error}; a shorter time range, or one more filter, is quicker"
        return Problem(504, "query_timeout", detail, retry_after_s=_TIMED_OUT_RETRY_AFTER_S).response()

    app.add_exception_handler(StoreBusyError, on_busy)
    app.add_exception_handler(StoreUnavailableError, on_unavailable)
    app.add_exception_handler(QueryTimeoutError, on_timeout)
