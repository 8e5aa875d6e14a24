"""Adds to an OpenAPI document which routes need an API key, and what is answered without a good one."""

from __future__ import annotations

from typing import Any, Final

from threatlog.access.authentication import RouteScopes
from threatlog.process.problems import CONTENT_TYPE

_SCHEME: Final = "apiKey"
_TEXTS: Final = {
    "401": "Where API keys are required: there is none, it is not known, or it was revoked or has expired",
    "403": "The API key may not do this; the problem names the scope that may",
    "429": "Too many requests without a valid API key; Retry-After says when to try again",
}


def describe_keys(schema: dict[str, Any], routes: RouteScopes) -> None:
    """Changes `schema` in place."""
    components = schema.setdefault("components", {})
    components.setdefault("securitySchemes", {})[_SCHEME] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tlk_<id>_<secret>",
        "description": "Made by `threatlog keys create`; required wherever others than this machine can connect.",
    }
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in schema["paths"].items():
        scopes = routes.by_path.get(path)
        for operation in operations.values():
            if not scopes:
                continue
            # Not the only way: on loopback none is needed.
            operation["security"] = [{_SCHEME: sorted(scopes)}, {}]
            responses = operation.setdefault("responses", {})
            for status, text in _TEXTS.items():
                described = responses.setdefault(status, {"description": "", "content": content})
                described["description"] = ". ".join(filter(None, [described["description"], text]))
