"""Which scope of an API key each route of the query API needs."""

from __future__ import annotations

from typing import Final

from query_api.exports.answers import EXPORT_PATH, EXPORTS_PATH, ROWS_PATH
from query_api.page.routes import FILE_PATH, START_PATH
from query_api.routes import (
    CONTEXT_PATH,
    EVENT_PATH,
    EXPLAIN_PATH,
    FACETS_PATH,
    FIELDS_PATH,
    HISTOGRAM_PATH,
    LAG_PATH,
    METRICS_PATH,
    QUERY_PATH,
    RECEIPTS_PATH,
    RECENT_PATH,
    STATS_PATH,
    TOP_PATH,
)
from query_api.tail.routes import TAIL_PATH
from threatlog.access.authentication import OPEN, RouteScopes
from threatlog.access.caller import Scope

_QUERY: Final = frozenset({Scope.QUERY})
# Numbers about the whole, which say nothing of any event.
_FIGURES: Final = frozenset({Scope.QUERY, Scope.METRICS})

ROUTE_SCOPES: Final = RouteScopes(
    {
        QUERY_PATH: _QUERY,
        RECENT_PATH: _QUERY,
        STATS_PATH: _QUERY,
        METRICS_PATH: _FIGURES,
        LAG_PATH: _FIGURES,
        HISTOGRAM_PATH: _QUERY,
        TOP_PATH: _QUERY,
        FIELDS_PATH: _QUERY,
        FACETS_PATH: _QUERY,
        EXPLAIN_PATH: _QUERY,
        TAIL_PATH: _QUERY,
        RECEIPTS_PATH: _QUERY,
        EVENT_PATH: _QUERY,
        CONTEXT_PATH: _QUERY,
        EXPORTS_PATH: _QUERY,
        EXPORT_PATH: _QUERY,
        ROWS_PATH: _QUERY,
        START_PATH: OPEN,
        FILE_PATH: OPEN,
        "/metrics": frozenset({Scope.METRICS}),
        "/health": OPEN,
        "/livez": OPEN,
        "/readyz": OPEN,
    }
)
