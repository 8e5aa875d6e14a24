"""The routes of the page: `/` and the files that it is made of. Anybody may have them; what they show needs a key."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from query_api.noted_route import NotedRoute
from query_api.page.static_files import Content, StaticFiles, headers_of
from threatlog.process.problems import Problem

START_PATH: Final = "/"
FILE_PATH: Final = "/page/{version}/{name}"


def page_routes(files: StaticFiles) -> list[BaseRoute]:
    """The start page and the other files."""

    async def start(request: Request) -> Response:
        return _answer(request, files.start, headers_of(files.start))

    async def file(request: Request) -> Response:
        version, name = request.path_params["version"], request.path_params["name"]
        content = files.find(name)
        if content is None:
            raise Problem(404, "not_found", f"the page has no file {name[:80]!r}")
        return _answer(request, content, headers_of(content, files.caching(version)))

    return [NotedRoute(START_PATH, start), NotedRoute(FILE_PATH, file)]


def _answer(request: Request, content: Content, headers: dict[str, str]) -> Response:
    asked = request.headers.get("if-none-match", "")
    if content.etag in (tag.strip().removeprefix("W/") for tag in asked.split(",")):
        return Response(status_code=304, headers=headers)
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(content.compressed, 200, {**headers, "content-encoding": "gzip"}, content.media_type)
    return Response(content.plain, 200, headers, content.media_type)


def _takes_gzip(accepted: str) -> bool:
    """Whether the header names gzip, and not to refuse it."""
    for offer in accepted.lower().split(","):
        coding, _, quality = offer.replace(" ", "").partition(";q=")
        if coding in ("gzip", "*"):
            return quality.strip("0.") != "" or not quality
    return False
