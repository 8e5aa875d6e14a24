"""A route that leaves itself in the scope, as FastAPI's own do, for the request metrics."""

from __future__ import annotations

from starlette.routing import Match, Route

from threatlog.process.http_metrics import Scope


class NotedRoute(Route):
    """Starlette's, noted."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it answers the request of this scope."""
        match, child_scope = super().matches(scope)
        child_scope["route"] = self
        return match, child_scope
