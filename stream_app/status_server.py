"""Serves /metrics, /livez, /readyz and /health of a worker from a thread, which a busy event loop cannot hide."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from threatlog.process.problems import CONTENT_TYPE, Problem
from threatlog.process.security_headers import SECURITY_HEADERS

_NOT_FOUND: Final = Problem(404, "not_found", "served here: /metrics, /livez, /readyz, /health")
Checks = Callable[[], Mapping[str, bool]]
# The values of the header Authorization, and the address they came from.
Refusal = Callable[[Sequence[str], str], Problem | None]


@dataclass(frozen=True, slots=True)
class Status:
    """What is served. `checks` names what must hold for the worker to be ready.

    `refusal`, where API keys are needed, says why a request for metrics is not answered.
    """

    registry: CollectorRegistry
    checks: Checks
    refusal: Refusal | None = None


def serve_status(host: str, port: int, status: Status) -> ThreadingHTTPServer:
    """Starts the server. Raises OSError for a taken port."""

    class Handler(_StatusHandler):
        served = status

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server


class _StatusHandler(BaseHTTPRequestHandler):
    served: Status

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer_metrics()
        elif self.path == "/livez":
            self._answer(200, b'{"status":"alive"}', "application/json")
        elif self.path in ("/readyz", "/health"):
            found = dict(self.served.checks())
            well = all(found.values())
            body = {"status": "healthy" if well else "unhealthy"} | {
                name: "ok" if holds else "failing" for name, holds in found.items()
            }
            self._answer(200 if well else 503, json.dumps(body).encode(), "application/json")
        else:
            self._answer_problem(_NOT_FOUND)

    def _answer_metrics(self) -> None:
        refusal, given = self.served.refusal, self.headers.get_all("Authorization", [])
        problem = None if refusal is None else refusal(given, self.client_address[0])
        if problem is None:
            self._answer(200, generate_latest(self.served.registry), CONTENT_TYPE_LATEST)
        else:
            self._answer_problem(problem)

    def _answer_problem(self, problem: Problem) -> None:
        self._answer(problem.status, problem.body(), CONTENT_TYPE, problem.headers())

    def _answer(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        # Without the name and the version of what serves.
        self.send_response_only(status)
        about = {"Content-Type": content_type, "Content-Length": str(len(body))}
        for name, value in {**SECURITY_HEADERS, **headers, **about}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Probes are not logged."""
