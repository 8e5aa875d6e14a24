"""Error answers: one shape, whoever raises them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from threatlog.process.problems import CONTENT_TYPE, Problem, install_problem_handlers, internal_error

SHAPE = {"type", "title", "status", "detail", "code", "retryable"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An application that fails in every way."""
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/problem")
    async def problem() -> None:
        raise Problem(503, "kafka_unavailable", "Kafka is away", retry_after_s=7, extra={"kafka": "away"})

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("open-sesame")

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout", {"X-Kept": "yes"})

    @app.get("/number")
    async def number(limit: int) -> int:
        return limit

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://threatlog.test") as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/problem", 503, "kafka_unavailable"),
        ("GET", "/bug", 500, "internal_error"),
        ("GET", "/teapot", 418, "http_error"),
        ("GET", "/number", 422, "invalid_request"),
        ("GET", "/absent", 404, "not_found"),
        ("POST", "/number", 405, "method_not_allowed"),
    ],
)
async def test_every_error_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, CONTENT_TYPE)
    body = answer.json()
    assert set(body) >= SHAPE
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:threatlog:problem:{code}")


async def test_our_own_fault_is_told_without_a_word_of_its_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/bug")
    assert "open-sesame" not in answer.text
    assert answer.json()["retryable"] is False


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/number?limit=many")
    assert answer.json()["errors"][0]["parameter"] == "limit"
    assert "limit" in answer.json()["detail"]


async def test_a_framework_error_keeps_its_headers(client: httpx.AsyncClient) -> None:
    assert (await client.get("/teapot")).headers["x-kept"] == "yes"
    assert (await client.post("/number")).headers["allow"] == "GET"


async def test_what_a_problem_adds_stands_in_its_document(client: httpx.AsyncClient) -> None:
    assert (await client.get("/problem")).json()["kafka"] == "away"


@pytest.mark.parametrize(
    ("status", "retryable"), [(503, True), (429, True), (408, True), (504, True), (500, False), (422, False)]
)
def test_only_trouble_that_passes_is_retryable(status: int, retryable: bool) -> None:
    assert json.loads(Problem(status, "code", "detail").body())["retryable"] is retryable


@pytest.mark.parametrize(
    ("problem", "seconds"),
    [
        (Problem(503, "code", "detail"), "1"),
        (Problem(429, "code", "detail"), "1"),
        (Problem(408, "code", "detail"), "1"),
        (Problem(503, "code", "detail", retry_after_s=30), "30"),
        (internal_error(), None),
    ],
)
def test_an_answer_to_be_retried_says_when(problem: Problem, seconds: str | None) -> None:
    assert problem.headers().get("Retry-After") == seconds


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 502, 503, 504])
def test_what_may_be_tried_again_says_when(status: int) -> None:
    problem = Problem(status, "code", "detail")
    assert ("Retry-After" in problem.headers()) == problem.retryable
