"""Tails over a topic in memory, and what a client of theirs is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from ingest_gateway.contract import moment_of
from query_api.tail.figures import TailFigures
from query_api.tail.live_event import EventDecoder
from query_api.tail.live_log import LiveLog, Sources
from query_api.tail.request import read_tail_request
from query_api.tail.ring import EventRing
from query_api.tail.tails import Judge, Tails
from query_api.tail.turns import Turns
from query_api.tail.vector import parsed
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC
from tests.fakes.memory_topic import MemoryTopic
from threatlog.access.caller import ANONYMOUS, Caller
from threatlog.process.http_metrics import Message


def tails_of(
    topic: MemoryTopic,
    registry: CollectorRegistry | None = None,
    *,
    ring: EventRing | None = None,
    judge: Judge | None = None,
    most: int = 10,
) -> Tails:
    """All tails of a process, over a topic in memory; time is the event loop's."""
    sources = Sources(
        topic.open_reader, EventDecoder(TOPIC, LIMITS), topic, lambda: moment_of(NOON_MS * 1000 + 3_600_000_000)
    )
    live = LiveLog(sources, Turns(lambda: asyncio.get_running_loop().time()), ring)
    return Tails(live, TailFigures(registry or CollectorRegistry()), most, judge)


@dataclass(slots=True)
class Frame:
    """One server-sent event; a comment has the kind `comment`."""

    kind: str
    id: str | None
    data: Any

    @property
    def vector(self) -> dict[int, int]:
        """The positions in the id."""
        assert self.id is not None
        return parsed(self.id)


def frames_in(text: bytes) -> list[Frame]:
    """Read as a browser reads them."""
    found = []
    for block in text.decode().split("\n\n"):
        if block.startswith(":"):
            found.append(Frame("comment", None, block))
        elif block and not block.startswith("retry"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append(Frame(fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


@dataclass
class Client:
    """Takes a stream, as fast as `reading` lets it."""

    received: bytes = b""
    last_event_id: str | None = None
    ended: bool = False
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def frames(self) -> list[Frame]:
        """All of them."""
        return frames_in(self.received)

    def of_kind(self, kind: str) -> list[Frame]:
        """Those of one kind."""
        return [frame for frame in self.frames if frame.kind == kind]

    @property
    def messages(self) -> list[str]:
        """Of the events."""
        return [frame.data["message"] for frame in self.of_kind("log")]

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.body":
            self.received += message["body"]
            self.ended = not message.get("more_body", False)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something, in the loop's time."""
        async with asyncio.timeout(600):
            while not condition():  # noqa: ASYNC110 - conditions have no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def tailing(
    tails: Tails, query: str = "", last_event_id: str | None = None, caller: Caller = ANONYMOUS
) -> AsyncIterator[Client]:
    """A client that reads until the block ends, and then leaves."""
    client = Client()
    client.reading.set()
    stream = tails.stream(read_tail_request(query.encode(), last_event_id), caller)
    task = asyncio.create_task(stream({"method": "GET"}, client.receive, client.send))
    try:
        yield client
    finally:
        client.gone.set()
        await task
