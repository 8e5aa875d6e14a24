"""The route of the live tail: a request's parameters in, a stream out."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.routing import BaseRoute

from query_api.noted_route import NotedRoute
from query_api.tail.event_stream import EventStream
from query_api.tail.request import read_tail_request
from query_api.tail.tails import Tails
from threatlog.access.caller import caller_of

TAIL_PATH: Final = "/api/v1/logs/tail"


def tail_routes(tails: Tails) -> list[BaseRoute]:
    """To be tried before that of one event: an id may not look like a name."""

    async def tail(request: Request) -> EventStream:
        wanted = read_tail_request(request.scope["query_string"], request.headers.get("last-event-id"))
        return tails.stream(wanted, caller_of(request.scope))

    return [NotedRoute(TAIL_PATH, tail)]
