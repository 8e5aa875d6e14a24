"""What all requests hold together is bounded, and a request that waits for Kafka holds no body."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from ingest_gateway.publishing import KafkaState, Receipt, RecordHeaders
from ingest_gateway.request_body import HeldBytes, RequestBytes
from tests.unit.ingest_gateway.gateway_client import BATCH, EVENT, SINGLE, Gateway, assert_problem, make_gateway
from threatlog.process.problems import Problem
from threatlog.process.settings import Limits

MIB = 1 << 20
TIGHT = Limits(max_request_bytes_in_flight=MIB)


class FrozenPublisher:
    """Says that records wait, and acknowledges them when it is let."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.thaw = asyncio.Event()

    async def publish(self, values: Sequence[bytes], headers: RecordHeaders) -> list[Receipt]:  # noqa: ARG002
        self.waiting.set()
        await self.thaw.wait()
        return [Receipt(0, 0, len(values))]

    def state(self) -> KafkaState:
        return KafkaState(True)


async def unfinished(gateway: Gateway, size: int) -> asyncio.Task[Any]:
    """A request of which `size` bytes are received, and no more come."""

    asked_for_more = asyncio.Event()

    async def pieces() -> Any:
        yield b"[" * size
        asked_for_more.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(gateway.http.post(SINGLE, content=pieces()))
    await asyncio.wait_for(asked_for_more.wait(), 5)
    return task


@pytest.mark.parametrize("path", [SINGLE, BATCH])
async def test_over_the_bound_a_request_is_503_and_may_come_back(path: str) -> None:
    gateway = make_gateway(limits=TIGHT)
    other = await unfinished(gateway, MIB - 10)
    document = EVENT if path == SINGLE else {"logs": [EVENT]}

    assert_problem(await gateway.http.post(path, json=document), 503, "too_many_request_bytes")
    assert gateway.publisher.values == []
    other.cancel()
    await asyncio.wait([other])
    assert (await gateway.http.post(path, json=document)).status_code == 201
    assert gateway.request_bytes.in_flight == 0


async def test_what_a_body_becomes_by_decompression_counts_as_well() -> None:
    gateway = make_gateway(limits=TIGHT)
    other = await unfinished(gateway, MIB // 2)
    content = gzip.compress(orjson.dumps(EVENT) + b" " * MIB)
    answer = await gateway.http.post(SINGLE, content=content, headers={"content-encoding": "gzip"})

    assert_problem(answer, 503, "too_many_request_bytes")
    other.cancel()
    await asyncio.wait([other])


async def test_a_request_larger_than_the_bound_passes_when_no_other_holds_anything() -> None:
    gateway = make_gateway(limits=TIGHT)

    async def pieces() -> Any:
        yield orjson.dumps(EVENT)
        for _ in range(4):
            yield b" " * MIB

    assert (await gateway.http.post(SINGLE, content=pieces())).status_code == 201


async def test_a_request_that_waits_for_kafka_holds_neither_its_body_nor_the_bound() -> None:
    publisher = FrozenPublisher()
    gateway = make_gateway(publisher, limits=Limits(max_request_bytes_in_flight=MIB))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": orjson.dumps({"logs": [EVENT]}) + b" " * (4 * MIB)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": BATCH, "headers": [], "query_string": b""}
    tracemalloc.start()
    try:
        tasks = [asyncio.ensure_future(gateway.app({**scope}, receive, send)) for _ in range(3)]
        await asyncio.wait_for(publisher.waiting.wait(), 5)
        for _ in range(3):
            await asyncio.sleep(0)
        assert gateway.request_bytes.in_flight == 0
        assert tracemalloc.get_traced_memory()[0] < MIB
    finally:
        tracemalloc.stop()
    publisher.thaw.set()
    await asyncio.gather(*tasks)
    assert [message["status"] for message in sent if "status" in message] == [201] * 3


async def test_the_errors_that_wait_for_kafka_with_a_batch_are_counted() -> None:
    publisher = FrozenPublisher()
    gateway = make_gateway(publisher, limits=Limits())
    task = asyncio.ensure_future(gateway.http.post(BATCH, json={"logs": [3] * 1000 + [EVENT]}))
    await asyncio.wait_for(publisher.waiting.wait(), 5)

    assert gateway.request_bytes.in_flight >= 1000 * 400
    publisher.thaw.set()
    assert (await task).status_code == 201
    assert gateway.request_bytes.in_flight == 0


def test_what_waits_already_is_counted_without_being_refused() -> None:
    everything = RequestBytes(100)
    with HeldBytes(everything) as first, HeldBytes(everything) as second:
        first.grow(60)
        first.replace(500)
        with pytest.raises(Problem) as refusal:
            second.grow(1)
        assert (refusal.value.status, refusal.value.retryable) == (503, True)
        first.replace(0)
        second.grow(100)
    assert everything.in_flight == 0
