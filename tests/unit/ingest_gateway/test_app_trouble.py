"""What a sender is told when Kafka, this process or the sender itself is in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from ingest_gateway.publishing import KafkaState, PublishUnavailableError, Receipt, RecordHeaders, UnavailableCode
from tests.fakes.memory_publisher import MemoryPublisher
from tests.unit.ingest_gateway.gateway_client import BATCH, EVENT, SINGLE, assert_problem, make_gateway

V4 = "5b0f9f1e-0c5b-4b0e-8a51-2f9a6b1c7d3e"


@pytest.mark.parametrize(
    ("code", "status", "may_arrive", "words"),
    [
        ("overloaded", 503, False, "nothing of this request was kept"),
        ("kafka_unavailable", 503, False, "nothing of this request was kept"),
        ("kafka_unavailable", 503, True, "may still be stored"),
        ("stopping", 503, True, "may still be stored"),
    ],
)
@pytest.mark.parametrize(("path", "document"), [(SINGLE, EVENT), (BATCH, {"logs": [EVENT]})])
async def test_kafka_trouble_is_told_with_what_became_of_the_events_and_when_to_try_again(
    code: UnavailableCode, status: int, may_arrive: bool, words: str, path: str, document: object
) -> None:
    gateway = make_gateway()
    gateway.publisher.trouble = PublishUnavailableError(code, "why", retry_after_s=3, may_arrive=may_arrive)
    answer = await gateway.http.post(path, json=document)

    problem = assert_problem(answer, status, code)
    assert problem["may_be_stored"] is may_arrive
    assert problem["detail"].startswith("why; ")
    assert words in problem["detail"]
    assert answer.headers["retry-after"] == "3"
    assert gateway.metric(f'threatlog_ingest_unavailable_total{{reason="{code}"}}') == 1


class SilentPublisher(MemoryPublisher):
    """Never hears from Kafka."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:  # noqa: ARG002
        self.asked.set()
        await asyncio.Event().wait()
        return []


async def test_a_request_that_the_stop_cuts_off_says_that_its_events_may_be_stored() -> None:
    publisher = SilentPublisher()
    request = asyncio.ensure_future(make_gateway(publisher).http.post(SINGLE, json=EVENT))
    await asyncio.wait_for(publisher.asked.wait(), 5)
    request.cancel()

    problem = assert_problem(await request, 503, "stopping")
    assert problem["may_be_stored"] is True
    assert "may still be stored" in problem["detail"]


class BrokenPublisher:
    """Fails in a way that nobody foresaw."""

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:  # noqa: ARG002
        raise ZeroDivisionError("secret inside")

    def state(self) -> KafkaState:
        raise ZeroDivisionError("secret inside")


@pytest.mark.parametrize(("method", "path"), [("POST", SINGLE), ("GET", "/health")])
async def test_our_own_failure_is_a_500_problem_that_tells_nothing_of_the_inside(method: str, path: str) -> None:
    answer = await make_gateway(BrokenPublisher()).http.request(method, path, content=orjson.dumps(EVENT))

    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


async def test_a_body_that_does_not_come_is_408() -> None:
    gateway = make_gateway(read_timeout=0.05)

    async def never() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    answer = await gateway.http.post(SINGLE, content=never())

    assert assert_problem(answer, 408, "request_timeout")["retryable"] is True
    assert gateway.request_bytes.in_flight == 0


async def test_a_sender_that_leaves_gets_no_answer_and_nothing_is_published() -> None:
    gateway = make_gateway()
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[object] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": SINGLE, "headers": [], "query_string": b""}
    await gateway.app(scope, receive, send)

    assert sent == []
    assert gateway.publisher.values == []
    assert gateway.metric('threatlog_http_requests_total{code="499"') == 1
