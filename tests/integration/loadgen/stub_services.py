"""The gateway and the query API in one small server, by the documented contract only, with faults on demand."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import zstandard
from aiohttp import web

Event = dict[str, Any]
Fault = Callable[[int], web.Response | None]


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error answer as the services write it."""
    body = {
        "type": "about:blank",
        "title": code,
        "status": status,
        "detail": code,
        "code": code,
        "retryable": status in {429, 503},
    }
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")


@dataclass
class StubServices:
    """Keeps events in a list. `fault` sees the number of each ingest request, from 0, and may answer in its place."""

    fault: Fault = lambda _number: None
    keep: Callable[[Event], int] = lambda _event: 1  # How often an acknowledged event is stored.
    refuse: Callable[[Event], bool] = lambda _event: False
    visible_after_s: float = 0.0
    stored: list[Event] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 << 20)
        application.router.add_post("/api/v1/logs/ingest", self._single)
        application.router.add_post("/api/v1/logs/ingest/batch", self._batch)
        application.router.add_get("/api/v1/logs/query", self._query)
        application.router.add_get("/api/v1/stats", self._stats)
        application.router.add_get("/api/v1/logs/{id}", self._event)
        return application

    async def _single(self, request: web.Request) -> web.Response:
        body = await request.read()
        answer = self._note(body)
        if answer is not None:
            return answer
        event = json.loads(body)
        if self.refuse(event):
            return problem(422, "bad_severity")
        self._store(event)
        receipt = {"partition": 0, "offset": len(self.stored)}
        return web.json_response(
            {"id": event["id"], "status": "ingested", "timestamp": event["timestamp"], "receipt": receipt}, status=201
        )

    async def _batch(self, request: web.Request) -> web.Response:
        body = await request.read()
        match request.headers.get("Content-Encoding"):
            case "zstd":
                body = zstandard.ZstdDecompressor().decompress(body)
            case "gzip":
                body = gzip.decompress(body)
        answer = self._note(body)
        if answer is not None:
            return answer
        if request.content_type == "application/x-ndjson":
            events = [json.loads(line) for line in body.splitlines()]
        else:
            events = json.loads(body)["logs"]
        errors = [
            {"index": index, "code": "bad_severity", "detail": "no"}
            for index, event in enumerate(events)
            if self.refuse(event)
        ]
        kept = [event for event in events if not self.refuse(event)]
        for event in kept:
            self._store(event)
        ids = [None if self.refuse(event) else event["id"] for event in events]
        answer_body = {"accepted": len(kept), "rejected": len(errors), "ids": ids, "errors": errors, "receipts": []}
        return web.json_response(answer_body, status=201)

    def _note(self, body: bytes) -> web.Response | None:
        self.bodies.append(body)
        return self.fault(len(self.bodies) - 1)

    def _store(self, event: Event) -> None:
        already = any(other["id"] == event["id"] for other in self.stored[-5000:])
        for _ in range(0 if already else self.keep(event)):
            self.stored.append({**event, "ingested_at": event["timestamp"], "_at": datetime.now(UTC)})

    def _visible(self) -> tuple[list[Event], datetime]:
        until = datetime.now(UTC) - timedelta(seconds=self.visible_after_s)
        return [event for event in self.stored if event["_at"] <= until], until

    def _found(self, request: web.Request) -> tuple[list[Event], datetime]:
        asked = request.query
        events, until = self._visible()
        found = [
            event
            for event in events
            if asked["start_time"] <= event["timestamp"] < asked["end_time"]
            and asked.get("source", event["source"]) == event["source"]
        ]
        return found, until

    async def _stats(self, request: web.Request) -> web.Response:
        found, until = self._found(request)
        by_source = Counter(event["source"] for event in found)
        other = {"sources": 0, "count": 0}
        return web.json_response({"by_source": by_source, "other": other, "complete_until": until.isoformat()})

    async def _query(self, request: web.Request) -> web.Response:
        asked = request.query
        found, until = self._found(request)
        begin, limit = int(asked.get("cursor", 0)), int(asked.get("limit", 100))
        rows = [
            {name: value for name, value in event.items() if name != "_at"} for event in found[begin : begin + limit]
        ]
        following = str(begin + limit) if begin + limit < len(found) else None
        return web.json_response(
            {
                "total": len(found),
                "count": len(rows),
                "logs": rows,
                "next_cursor": following,
                "complete_until": until.isoformat(),
                "lag": {"events": 0},
            }
        )

    async def _event(self, request: web.Request) -> web.Response:
        for event in self._visible()[0]:
            if event["id"] == request.match_info["id"]:
                return web.json_response({name: value for name, value in event.items() if name != "_at"})
        return problem(404, "not_found")


@asynccontextmanager
async def serving(stub: StubServices) -> AsyncIterator[StubServices]:
    """Serves on a free port of 127.0.0.1 and sets `stub.url`."""
    runner = web.AppRunner(stub.application(), auto_decompress=False, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stub.url = f"http://{host}:{port}"
    try:
        yield stub
    finally:
        await runner.cleanup()
