"""Serves /metrics, /livez, /readyz and /health of a worker from a thread, which a busy event loop cannot hide."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_NOT_FOUND: Final = {
    "type": "urn:threatlog:problem:not_found",
    "title": "Not Found",
    "status": 404,
    "detail": "served here: /metrics, /livez, /readyz, /health",
    "code": "not_found",
    "retryable": False,
}
Checks = Callable[[], Mapping[str, bool]]


def serve_status(host: str, port: int, registry: CollectorRegistry, checks: Checks) -> ThreadingHTTPServer:
    """Starts the server; `checks` names what must hold for the worker to be ready. Raises OSError for a taken port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path == "/livez":
                self._answer(200, b'{"status":"alive"}', "application/json")
            elif self.path in ("/readyz", "/health"):
                found = dict(checks())
                well = all(found.values())
                body = {"status": "healthy" if well else "unhealthy"} | {
                    name: "ok" if holds else "failing" for name, holds in found.items()
                }
                self._answer(200 if well else 503, json.dumps(body).encode(), "application/json")
            else:
                self._answer(404, json.dumps(_NOT_FOUND).encode(), "application/problem+json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            """Probes are not logged."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server
