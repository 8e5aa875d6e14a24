"""The routes of exports: a request's body and parameters in, an answer out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from query_api.exports.answers import EXPORT_PATH, EXPORTS_PATH, ROWS_PATH
from query_api.exports.export_service import ExportService
from query_api.exports.file_answer import FileAnswer, headers_of
from query_api.exports.request import MAX_BODY_BYTES, read_export_request
from query_api.parameters import read_count, read_query
from threatlog.access.caller import caller_of
from threatlog.process.problems import Problem

ROWS_PARAMETERS: Final = ("from_byte", "part")
_MOST_BYTES: Final = 1 << 53
_MOST_PARTS: Final = 1_000_000
Endpoint = Callable[[Request], Awaitable[Response]]


def export_endpoints(service: ExportService) -> list[tuple[str, str, Endpoint]]:
    """Path, method and endpoint of each."""

    async def create(request: Request) -> Response:
        read_query(request.scope["query_string"], ())
        identifier, body = await service.create(read_export_request(await _body(request)), _who(request))
        return _json(body, 201, {"Location": EXPORT_PATH.format(id=identifier)})

    async def status(request: Request) -> Response:
        read_query(request.scope["query_string"], ())
        return _json(await service.status(request.path_params["id"]))

    async def cancel(request: Request) -> Response:
        read_query(request.scope["query_string"], ())
        return _json(await service.cancel(request.path_params["id"], _who(request)))

    async def rows(request: Request) -> Response:
        values = read_query(request.scope["query_string"], ROWS_PARAMETERS)
        from_byte = read_count(values, "from_byte", 0, 0, _MOST_BYTES)
        part = read_count(values, "part", 0, 0, _MOST_PARTS) if "part" in values else None
        if request.method == "HEAD":
            return Response(headers=headers_of(await service.find(request.path_params["id"])))
        opened = await service.open(request.path_params["id"], from_byte, part)
        asked = {"from_byte": from_byte} if part is None else {"part": part}
        return FileAnswer(service, opened, _who(request), dict(asked))

    return [
        (EXPORTS_PATH, "POST", create),
        (ROWS_PATH, "GET", rows),
        (EXPORT_PATH, "GET", status),
        (EXPORT_PATH, "DELETE", cancel),
    ]


async def _body(request: Request) -> bytes:
    """The whole body. Raises Problem 413."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Problem(413, "body_too_large", f"the body has over {MAX_BODY_BYTES} bytes, the most allowed")
    return bytes(body)


def _who(request: Request) -> str:
    """As the audit log names callers: the id of a key, or an address."""
    caller = caller_of(request.scope)
    if not caller.anonymous:
        return caller.key_id
    return str(request.client.host) if request.client else "unknown"


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")
