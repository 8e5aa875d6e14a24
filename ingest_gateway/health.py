"""Whether this gateway can take events: /health for people, /livez and /readyz for orchestrators."""

from __future__ import annotations

from typing import Any, Final, Protocol

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from ingest_gateway.publishing import EventPublisher
from threatlog.access.key_watch import KeysUnknownError
from threatlog.process.problems import Problem, described_problem

_NOT_READY: Final[dict[int | str, dict[str, Any]]] = {503: described_problem("Not now; the problem says why")}


class Readiness:
    """Turns false for good when the process begins to stop."""

    def __init__(self) -> None:
        self.stopping = False

    def stop(self) -> None:
        """From now on no new requests should be sent here."""
        self.stopping = True


class Keys(Protocol):
    """The API keys. Raises KeysUnknownError."""

    def check_known(self) -> None: ...


def health_routes(publisher: EventPublisher, readiness: Readiness, keys: Keys | None = None) -> APIRouter:
    """The three probes. None of them waits for Kafka."""
    router = APIRouter(tags=["health"])

    def check() -> None:
        if readiness.stopping:
            raise Problem(503, "stopping", "this gateway is stopping", extra={"kafka": "unknown"})
        state = publisher.state()
        if not state.connected:
            raise Problem(
                503, "kafka_unavailable", state.detail, extra={"health": "unhealthy", "kafka": "disconnected"}
            )
        try:
            if keys is not None:
                keys.check_known()
        except KeysUnknownError as error:
            extra = {"health": "unhealthy", "kafka": "connected"}
            raise Problem(503, "keys_unknown", str(error), extra=extra) from None

    @router.get("/health", summary="Whether events can be taken, and what is wrong when not", responses=_NOT_READY)
    async def health() -> Response:
        check()
        return _json({"status": "healthy", "kafka": "connected"})

    @router.get("/livez", summary="Whether this process runs")
    async def livez() -> Response:
        return _json({"status": "alive"})

    @router.get("/readyz", summary="Whether this process should get requests", responses=_NOT_READY)
    async def readyz() -> Response:
        check()
        return _json({"status": "ready"})

    return router


def _json(content: dict[str, str]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
