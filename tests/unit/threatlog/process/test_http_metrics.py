"""The request metrics that every process shares."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from starlette.responses import Response

from threatlog.process.http_metrics import BUCKETS_S, HttpMetrics, Message, Receive, Scope, Send, cumulative
from threatlog.process.problems import AnswerWhenCancelled


class FakeClock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Subject:
    """The middleware around an application with one templated route."""

    def __init__(self, duration_s: float = 0.0) -> None:
        self.clock, self.registry = FakeClock(), CollectorRegistry()
        app = FastAPI()

        @app.get("/things/{name}")
        async def thing(name: str) -> Response:
            self.clock.now += duration_s
            if name == "bug":
                raise ZeroDivisionError
            return Response(name)

        self.app = HttpMetrics(app, self.registry, "test", self.clock)

    async def get(self, path: str, method: str = "GET") -> None:
        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            """Nowhere."""

        await self.app(scope, receive, send)

    def lines(self, start: str) -> list[str]:
        return [line for line in generate_latest(self.registry).decode().splitlines() if line.startswith(start)]


async def test_requests_are_labelled_with_the_route_s_template() -> None:
    subject = Subject()
    for name in "abc":
        await subject.get(f"/things/{name}")

    assert subject.lines("threatlog_http_requests_total") == [
        'threatlog_http_requests_total{code="200",method="GET",route="/things/{name}",service="test"} 3.0'
    ]


async def test_paths_without_a_route_share_one_label() -> None:
    subject = Subject()
    for name in "abc":
        await subject.get(f"/{name}")

    assert subject.lines("threatlog_http_requests_total") == [
        'threatlog_http_requests_total{code="404",method="GET",route="unmatched",service="test"} 3.0'
    ]


async def test_made_up_methods_share_one_label() -> None:
    subject = Subject()
    for method in ("BREW", "WHEN"):
        await subject.get("/nowhere", method)

    assert subject.lines("threatlog_http_requests_total") == [
        'threatlog_http_requests_total{code="404",method="other",route="unmatched",service="test"} 2.0'
    ]


async def test_a_bug_is_counted_by_the_status_that_went_out() -> None:
    subject = Subject()
    with pytest.raises(ZeroDivisionError):
        await subject.get("/things/bug")

    assert 'code="500"' in subject.lines("threatlog_http_requests_total")[0]
    assert subject.lines("threatlog_http_requests_in_flight") == [
        'threatlog_http_requests_in_flight{service="test"} 0.0'
    ]


async def test_durations_fall_into_cumulative_buckets() -> None:
    subject = Subject(duration_s=0.03)
    await subject.get("/things/a")
    await subject.get("/things/b")

    buckets = {
        line.split('le="')[1].split('"')[0]: line for line in subject.lines("threatlog_http_request_duration_seconds_b")
    }
    assert buckets["0.025"].endswith(" 0.0")
    assert buckets["0.05"].endswith(" 2.0")
    assert buckets["+Inf"].endswith(" 2.0")
    assert subject.lines("threatlog_http_request_duration_seconds_sum")[0].endswith(" 0.06")


async def test_requests_in_flight_are_counted_while_they_are() -> None:
    registry = CollectorRegistry()
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(line for line in generate_latest(registry).decode().splitlines() if "in_flight{" in line)

    async def nothing(*_arguments: Any) -> Any:
        """Never called."""

    await HttpMetrics(app, registry, "test")({"type": "http", "method": "GET"}, nothing, nothing)

    assert seen == ['threatlog_http_requests_in_flight{service="test"} 1.0']


async def test_a_request_that_the_stop_cuts_off_is_counted_as_what_it_was_answered() -> None:
    registry = CollectorRegistry()
    sent: list[Message] = []

    async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async def nothing() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    app = HttpMetrics(AnswerWhenCancelled(cut_off), registry, "test")
    await app({"type": "http", "method": "GET"}, nothing, send)

    assert sent[0]["status"] == 503
    assert b"may have been stored" in sent[1]["body"]
    assert 'threatlog_http_requests_total{code="503"' in generate_latest(registry).decode()


async def test_an_answer_that_has_begun_is_not_begun_anew_and_is_what_is_counted() -> None:
    registry = CollectorRegistry()

    async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise asyncio.CancelledError

    started: list[Message] = []

    async def send(message: Message) -> None:
        started.append(message)

    async def nothing() -> Message:
        raise AssertionError

    app = HttpMetrics(AnswerWhenCancelled(cut_off), registry, "test")
    with pytest.raises(asyncio.CancelledError):
        await app({"type": "http", "method": "GET"}, nothing, send)

    assert len(started) == 1
    assert 'threatlog_http_requests_total{code="200"' in generate_latest(registry).decode()


def test_buckets_add_up() -> None:
    counts = [1] * (len(BUCKETS_S) + 1)

    assert cumulative(BUCKETS_S, counts)[0] == ("0.001", 1.0)
    assert cumulative(BUCKETS_S, counts)[-1] == ("+Inf", float(len(counts)))
