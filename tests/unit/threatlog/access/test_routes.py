"""Every route of both APIs with every kind of key, from the OpenAPI documents: a new route has to be listed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ingest_gateway import route_scopes as of_gateway
from query_api import route_scopes as of_query
from tests.unit.ingest_gateway.gateway_client import make_gateway
from tests.unit.query_api.app_bench import Bench
from tests.unit.threatlog.access.key_bench import KeyBench, with_other_secret
from threatlog.access.authentication import RouteScopes
from threatlog.access.caller import Scope

# Whoever adds a route says here who may use it; what is said must be what is so.
LISTED = {
    "gateway": {
        "POST /api/v1/logs/ingest": {"ingest"},
        "POST /api/v1/logs/ingest/batch": {"ingest"},
        "GET /api/v1/limits": {"ingest"},
        "GET /api/v1/producers/me": {"ingest"},
        "GET /metrics": {"metrics"},
        "GET /health": set(),
        "GET /livez": set(),
        "GET /readyz": set(),
    },
    "query": {
        "GET /api/v1/logs/query": {"query"},
        "GET /api/v1/logs/recent": {"query"},
        "GET /api/v1/logs/tail": {"query"},
        "GET /api/v1/receipts": {"query"},
        "GET /api/v1/logs/{id}": {"query"},
        "GET /api/v1/logs/{id}/context": {"query"},
        "GET /api/v1/logs/histogram": {"query"},
        "GET /api/v1/logs/top": {"query"},
        "GET /api/v1/logs/fields": {"query"},
        "GET /api/v1/logs/facets": {"query"},
        "GET /api/v1/logs/explain": {"query"},
        "POST /api/v1/exports": {"query"},
        "GET /api/v1/exports/{id}": {"query"},
        "DELETE /api/v1/exports/{id}": {"query"},
        "GET /api/v1/exports/{id}/rows": {"query"},
        "GET /api/v1/stats": {"query"},
        "GET /api/v1/metrics": {"query", "metrics"},
        "GET /api/v1/lag": {"query", "metrics"},
        "GET /": set(),
        "GET /page/{version}/{name}": set(),
        "GET /metrics": {"metrics"},
        "GET /health": set(),
        "GET /livez": set(),
        "GET /readyz": set(),
    },
}
TABLES: dict[str, RouteScopes] = {"gateway": of_gateway.ROUTE_SCOPES, "query": of_query.ROUTE_SCOPES}


def application(service: str, keys: KeyBench) -> Any:
    """The ASGI application of a service that needs keys."""
    return make_gateway(keys=keys.watch).app if service == "gateway" else Bench(keys.watch).app


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://service")


def documented(service: str) -> dict[str, Any]:
    """The OpenAPI document, from the innermost application."""
    app: Any = make_gateway().app if service == "gateway" else Bench().app
    while not isinstance(app, FastAPI):
        app = app._app
    return app.openapi()


def routes() -> Iterator[tuple[str, str, str]]:
    """Service, method and path of every documented route."""
    for service in LISTED:
        for path, operations in documented(service)["paths"].items():
            for method in operations:
                yield service, method.upper(), path


ROUTES = list(routes())
every_route = pytest.mark.parametrize(("service", "method", "path"), ROUTES)


def needed(service: str, method: str, path: str) -> set[str]:
    return LISTED[service][f"{method} {path}"]


def concrete(path: str) -> str:
    """The path of a request that is answered at once: a tail has no end unless it is refused."""
    for name, value in {"id": "01a20d0d-ae4b-7c3e-9f0a-5b1d2c3e4f50", "version": "1", "name": "main.js"}.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("/tail", "/tail?after=nothing")


@pytest.mark.parametrize("service", LISTED)
def test_every_route_is_listed_with_its_scopes(service: str) -> None:
    assert {f"{method} {path}" for of, method, path in ROUTES if of == service} == set(LISTED[service])
    listed = {route.split(" ")[1]: scopes for route, scopes in LISTED[service].items()}
    assert {path: {str(scope) for scope in scopes} for path, scopes in TABLES[service].by_path.items()} == listed


@every_route
def test_the_document_says_which_key_a_route_needs(service: str, method: str, path: str) -> None:
    operation = documented(service)["paths"][path][method.lower()]
    scopes = needed(service, method, path)
    assert operation.get("security") == ([{"apiKey": sorted(scopes)}, {}] if scopes else None)
    assert {"401", "403", "429"} <= set(operation["responses"]) or not scopes


@every_route
@pytest.mark.parametrize("kind", ["none", "two", "basic", "malformed", "secret", "revoked", "expired", "scope"])
async def test_a_route_refuses_every_key_but_a_good_one(service: str, method: str, path: str, kind: str) -> None:
    keys = KeyBench()
    scopes = needed(service, method, path)
    good, revoked, expired = await keys.key(Scope), await keys.key(Scope), await keys.key(Scope, good_s=1)
    other = await keys.key(scope for scope in Scope if scope not in {*scopes, Scope.ADMIN})
    await keys.revoke(revoked)
    keys.passed_s = 2
    sent, status, code = {
        "none": ([], 401, "missing_key"),
        "two": ([f"Bearer {good}", f"Bearer {good}"], 401, "missing_key"),
        "basic": (["Basic dXNlcjpwYXNz"], 401, "missing_key"),
        "malformed": ([f"Bearer {good[:-3]}"], 401, "bad_key"),
        "secret": ([f"Bearer {with_other_secret(good)}"], 401, "bad_key"),
        "revoked": ([f"Bearer {revoked}"], 401, "revoked_key"),
        "expired": ([f"Bearer {expired}"], 401, "expired_key"),
        "scope": ([f"Bearer {other}"], 403, "wrong_scope"),
    }[kind]
    async with client(application(service, keys)) as http:
        answer = await http.request(method, concrete(path), headers=[("Authorization", value) for value in sent])
    if needed(service, method, path):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert good.split("_")[2] not in answer.text
    else:
        assert answer.status_code == 200


@every_route
@pytest.mark.parametrize("held", ["needed", "admin"])
async def test_a_route_lets_a_good_key_in(service: str, method: str, path: str, held: str) -> None:
    keys = KeyBench()
    text = await keys.key([Scope.ADMIN] if held == "admin" else [Scope(name) for name in needed(service, method, path)])
    async with client(application(service, keys)) as http:
        answer = await http.request(method, concrete(path), headers={"Authorization": f"bearer {text}"})
    assert answer.status_code not in {401, 403}
    assert answer.status_code < 500


@pytest.mark.parametrize("service", LISTED)
@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/nothing", "/api/v1/logs/a/b", "/static-offline-docs/x"])
async def test_what_is_not_listed_is_not_there_with_a_key_and_refused_without(service: str, path: str) -> None:
    keys = KeyBench()
    headers = {"Authorization": f"Bearer {await keys.key([Scope.ADMIN])}"}
    async with client(application(service, keys)) as http:
        assert (await http.get(path)).status_code == 401
        assert (await http.get(path, headers=headers)).status_code == 404


@pytest.mark.parametrize("service", LISTED)
async def test_until_the_keys_are_known_nobody_is_let_in_and_the_process_is_not_ready(service: str) -> None:
    keys = KeyBench()
    async with client(application(service, keys)) as http:
        for path in ("/metrics", "/readyz", "/health"):
            answer = await http.get(path, headers={"Authorization": "Bearer tlk_x"})
            assert (answer.status_code, answer.json()["code"]) == (503, "keys_unknown")
            assert "retry-after" in answer.headers
        assert (await http.get("/livez")).status_code == 200


async def test_ten_failures_in_a_minute_are_told_to_wait_while_a_good_key_goes_on() -> None:
    keys = KeyBench()
    text = await keys.key([Scope.METRICS])
    async with client(application("gateway", keys)) as http:
        # The address that a header names is not believed: each of these would be another one.
        statuses = [
            (await http.get("/metrics", headers={"X-Forwarded-For": f"10.0.0.{n}"})).status_code for n in range(11)
        ]
        assert statuses == [*[401] * 10, 429]
        answer = await http.get("/metrics")
        assert (answer.json()["code"], answer.headers["retry-after"]) == ("too_many_failures", "60")
        assert (await http.get("/metrics", headers={"Authorization": f"Bearer {text}"})).status_code == 200
    [entry] = keys.watch.failures.take_entries("gateway")
    assert (entry.actor, entry.detail["count"]) == ("127.0.0.1", 12)


async def test_a_key_for_some_sources_sends_of_no_other() -> None:
    keys = KeyBench()
    text = await keys.key(sources=frozenset({"web-01"}))
    event = {"severity": "LOW", "source": "web-01", "message": "m"}
    headers = {"Authorization": f"Bearer {text}"}
    async with client(application("gateway", keys)) as http:
        assert (await http.post("/api/v1/logs/ingest", json=event, headers=headers)).status_code == 201
        answer = await http.post("/api/v1/logs/ingest", json={**event, "source": "db-01"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "source_not_allowed")
        assert "'db-01'" in answer.json()["detail"]
        batch = {"logs": [event, {**event, "source": "db-01"}, {"source": "db-01"}]}
        answer = await http.post("/api/v1/logs/ingest/batch", json=batch, headers=headers)
        found = answer.json()
        assert (answer.status_code, found["accepted"]) == (201, 1)
        assert [error["code"] for error in found["errors"]] == ["source_not_allowed", "missing_field"]
