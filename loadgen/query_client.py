"""Asks the query API, as an analyst would: a page of a time range, and one event by its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from loadgen.encode import rfc3339
from loadgen.http_connection import HttpClient

Answer = TypeVar("Answer")


class StoredEvent(msgspec.Struct, frozen=True):
    """One event as the query API shows it."""

    id: UUID
    timestamp: datetime
    severity: str
    source: str
    message: str
    attributes: dict[str, Any] | None = None


class Page(msgspec.Struct, frozen=True):
    """One page: `total` is of the whole range; `complete_until` bounds what may be missing from the answer."""

    total: int
    logs: list[StoredEvent]
    next_cursor: str | None = None
    complete_until: datetime | None = None


class Remainder(msgspec.Struct, frozen=True):
    """The sources too small to be listed."""

    sources: int = 0


class Counts(msgspec.Struct, frozen=True):
    """How many events a time range holds of each of its largest sources."""

    by_source: dict[str, int]
    other: Remainder = Remainder()
    complete_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Event times in Unix milliseconds; the last one is included."""

    first_ms: int
    last_ms: int


class QueryFailedError(Exception):
    """The query API gave no answer that can be used; asking again later may help."""


class LogReader(Protocol):
    """What verification and the freshness probe need of the query API. Each method raises QueryFailedError."""

    async def page(self, within: TimeRange, source: str | None, limit: int, cursor: str | None) -> Page: ...

    async def counts(self, within: TimeRange) -> Counts: ...

    async def event(self, identifier: str) -> StoredEvent | None:
        """The event with this id; None while it cannot be found."""


class QueryClient:
    """The `LogReader` over HTTP."""

    def __init__(self, client: HttpClient) -> None:
        self._client: Final = client
        self._page: Final = msgspec.json.Decoder(Page)
        self._counts: Final = msgspec.json.Decoder(Counts)
        self._event: Final = msgspec.json.Decoder(StoredEvent)

    async def page(self, within: TimeRange, source: str | None, limit: int, cursor: str | None) -> Page:
        asked = {**_bounds(within), "limit": str(limit)}
        if source is not None:
            asked["source"] = source
        if cursor is not None:
            asked["cursor"] = cursor
        status, body = await self._get(f"/api/v1/logs/query?{urlencode(asked)}")
        return self._decoded(self._page, status, body)

    async def counts(self, within: TimeRange) -> Counts:
        status, body = await self._get(f"/api/v1/stats?{urlencode(_bounds(within))}")
        return self._decoded(self._counts, status, body)

    async def event(self, identifier: str) -> StoredEvent | None:
        status, body = await self._get(f"/api/v1/logs/{identifier}")
        return None if status == 404 else self._decoded(self._event, status, body)

    def close(self) -> None:
        self._client.close()

    async def _get(self, path: str) -> tuple[int, bytes]:
        endpoint = self._client.endpoint
        head = f"GET {endpoint.base_path}{path} HTTP/1.1\r\n{endpoint.fixed_headers}"
        request = f"{head}Accept: application/json\r\n\r\n"
        try:
            response = await self._client.request(request.encode())
        except (OSError, TimeoutError) as error:
            raise QueryFailedError(f"the query API at {endpoint.authority}: {error}") from None
        return response.status, response.body

    @staticmethod
    def _decoded(decoder: msgspec.json.Decoder[Answer], status: int, body: bytes) -> Answer:
        if status != 200:
            raise QueryFailedError(f"the query API answered {status}: {body[:300].decode(errors='replace')}")
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            raise QueryFailedError(f"the query API's answer is not as documented: {error}") from None


def _bounds(within: TimeRange) -> dict[str, str]:
    # The API's end is not included.
    return {"start_time": rfc3339(within.first_ms), "end_time": rfc3339(within.last_ms + 1)}
