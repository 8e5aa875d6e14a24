"""The one shape of every error answer: application/problem+json (RFC 9457) with `code` and `retryable`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from threatlog.process.http_metrics import HAS_BEGUN, AsgiApp, Receive, Scope, Send

CONTENT_TYPE = "application/problem+json"
RETRYABLE_STATUS = frozenset({408, 429, 502, 503, 504})


# Not frozen: Python itself sets the traceback of an exception.
@dataclass(slots=True, eq=False)
class Problem(Exception):  # noqa: N818 - the name of the thing in RFC 9457
    """One error answer. `retryable` says whether the same request may succeed later; then Retry-After is sent."""

    status: int
    code: str
    detail: str
    retry_after_s: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retryable(self) -> bool:
        return self.status in RETRYABLE_STATUS

    def body(self) -> bytes:
        """The JSON document."""
        return orjson.dumps(
            {
                "type": f"urn:threatlog:problem:{self.code}",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                "code": self.code,
                "retryable": self.retryable,
                **self.extra,
            }
        )

    def headers(self) -> dict[str, str]:
        """The headers besides the content type."""
        if self.retry_after_s is not None or self.retryable:
            return {"Retry-After": str(self.retry_after_s or 1), **self.more_headers}
        return dict(self.more_headers)

    def response(self) -> Response:
        """The answer to send."""
        return Response(self.body(), self.status, self.headers(), CONTENT_TYPE)


def internal_error() -> Problem:
    """Our own fault, without a word of its inside."""
    return Problem(500, "internal_error", "this is our fault; the log has it")


def described_problem(description: str) -> dict[str, Any]:
    """An answer of an OpenAPI document that is a problem; the document has its schema `Problem`."""
    return {"description": description, "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


class AnswerWhenCancelled:
    """ASGI middleware, inside HttpMetrics: a request that is cut off by the stop gets a problem document, not uvicorn's
    plain 500.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # What has begun cannot be answered otherwise; the connection is closed.
            if HAS_BEGUN in scope or scope["type"] != "http":
                raise
            problem = Problem(503, "stopping", "this process is stopping; what was sent may have been stored or not")
            await problem.response()(scope, receive, send)


_STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every error of the framework, and of ours, a problem document."""

    async def on_problem(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _STATUS_CODES.get(error.status_code, "http_error")
        detail = f"{request.method} {request.url.path}: {error.detail}"
        response = Problem(error.status_code, code, detail).response()
        response.headers.update(error.headers or {})
        return response

    async def on_invalid_request(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [{"parameter": str(e["loc"][-1]), "detail": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{fault['parameter']}: {fault['detail']}" for fault in faults)
        return Problem(422, "invalid_request", detail, extra={"errors": faults}).response()

    async def on_bug(_request: Request, _error: Exception) -> Response:
        return internal_error().response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(Exception, on_bug)
