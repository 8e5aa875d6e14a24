"""A client of server-sent events that remembers where it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Sent:
    """One event of the stream, decoded."""

    kind: str
    id: str | None
    data: Any


@dataclass(slots=True)
class TailClient:
    """Keeps all it got over any number of connections; goes on after the last one with Last-Event-ID."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    last_event_id: str | None = None
    got: list[Sent] = field(default_factory=list)
    connections: int = 0

    def of_kind(self, kind: str) -> list[Any]:
        """The data of those of one kind."""
        return [sent.data for sent in self.got if sent.kind == kind]

    async def read(self, session: aiohttp.ClientSession) -> None:
        """One connection, until it ends. Cancelled, it is cut off in the middle of whatever comes."""
        headers = dict(self.headers)
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        async with session.get(self.url, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["content-type"] == "text/event-stream"
            self.connections += 1
            try:
                async for sent in _events(answer):
                    self.got.append(sent)
                    self.last_event_id = sent.id or self.last_event_id
            finally:
                answer.close()

    async def read_for(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """One connection, cut off after so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.read(session)
        except (TimeoutError, aiohttp.ClientPayloadError):
            return


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[Sent]:
    fields: dict[str, str] = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line:
            if "data" in fields:
                yield Sent(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}
