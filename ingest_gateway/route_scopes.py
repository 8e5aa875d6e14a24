"""Which scope of an API key each route of the gateway needs."""

from __future__ import annotations

from typing import Final

from ingest_gateway.accounts_report import ACCOUNT_PATH
from ingest_gateway.openapi import BATCH_PATH, INGEST_PATH
from threatlog.access.authentication import OPEN, RouteScopes
from threatlog.access.caller import Scope

_INGEST: Final = frozenset({Scope.INGEST})

ROUTE_SCOPES: Final = RouteScopes(
    {
        INGEST_PATH: _INGEST,
        BATCH_PATH: _INGEST,
        "/api/v1/limits": _INGEST,
        ACCOUNT_PATH: _INGEST,
        "/metrics": frozenset({Scope.METRICS}),
        "/health": OPEN,
        "/livez": OPEN,
        "/readyz": OPEN,
    }
)
