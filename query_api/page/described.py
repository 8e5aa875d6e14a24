"""The routes of the page in the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from query_api.page.routes import FILE_PATH, START_PATH
from threatlog.process.problems import described_problem

_TAG: Final = "page"
_START_TEXT: Final = (
    "What is shown stands behind `#` in its address and is asked for by the page itself. It needs no other host, and "
    "its Content-Security-Policy lets none be asked. Where API keys are needed the page asks for one."
)


def page_paths() -> dict[str, dict[str, Any]]:
    """Each path with what GET answers."""
    not_modified = {"description": "As it was: the ETag is that of If-None-Match"}
    version, name = (
        _in_path("version", "of all files; with another one nothing is kept"),
        _in_path("name", "of the file"),
    )
    return {
        START_PATH: {
            "tags": [_TAG],
            "summary": "The page for a browser",
            "description": _START_TEXT,
            "responses": {"200": _file("The page", "text/html"), "304": not_modified},
        },
        FILE_PATH: {
            "tags": [_TAG],
            "summary": "A file that the page is made of",
            "parameters": [version, name],
            "responses": {
                "200": _file("The file", "text/javascript", "text/css", "image/svg+xml"),
                "304": not_modified,
                "404": described_problem("No such file"),
            },
        },
    }


def _file(description: str, *media_types: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string"}} for media_type in media_types}
    return {"description": description, "content": content}


def _in_path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": description}
