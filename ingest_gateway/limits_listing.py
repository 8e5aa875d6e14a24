"""Everything that bounds a request or an event, as it is listed at GET /api/v1/limits."""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from ingest_gateway.compression import MAX_COMPRESSED_PARTS
from ingest_gateway.event_ids import MAX_KEY_CHARS
from threatlog.process.http_protocol import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from threatlog.process.http_server_state import ConnectionBounds
from threatlog.process.settings import Settings


def listed_limits(settings: Settings) -> dict[str, int | float]:
    """Each limit by its name, in bytes, characters, seconds or a plain number."""
    bounds = ConnectionBounds()
    return {
        **settings.limits.model_dump(),
        "max_compressed_parts": MAX_COMPRESSED_PARTS,
        "max_idempotency_key_chars": MAX_KEY_CHARS,
        "max_header_bytes": MAX_HEADER_BYTES,
        "max_target_bytes": MAX_TARGET_BYTES,
        "header_timeout_s": settings.server.header_timeout,
        "max_connections": bounds.max_connections,
        "read_timeout_s": settings.server.read_timeout,
        "write_timeout_s": settings.server.write_timeout,
        "min_body_bytes_per_s": settings.server.min_body_rate,
        "idle_timeout_s": settings.server.idle_timeout,
    }


def limits_routes(settings: Settings) -> APIRouter:
    """The route."""
    router, shown = APIRouter(tags=["limits"]), orjson.dumps(listed_limits(settings))

    @router.get("/api/v1/limits", summary="What one request and one event may measure")
    async def show_limits() -> Response:
        return Response(shown, media_type="application/json")

    return router
