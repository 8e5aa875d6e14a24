"""The live tail over a real Kafka: the reader of the topic, and streams of a process while Kafka is hurt."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from query_api.kafka_consumer import OffsetsGoneError
from query_api.tail.topic_reader import TopicReader
from query_api.tail.vector import parsed
from tests.fakes.kafka_records import event_json
from tests.integration.query_api.running import QueryApi, start_query
from tests.integration.threatlog.test_keys import REVOKED_WITHIN_S, made, start, threatlog
from tests.processes import Spawner, eventually, http_json
from tests.servers import Stack
from tests.sse import TailClient

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@asynccontextmanager
async def producing(stack: Stack, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=stack.settings.kafka.bootstrap_servers, acks="all", **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(stack: Stack, *messages: str, partition: int = 0) -> None:
    async with producing(stack) as producer:
        for message in messages:
            await producer.send_and_wait(stack.settings.kafka.topic, event_json(message=message), partition=partition)


@asynccontextmanager
async def following(api: QueryApi, query: str = "", **headers: str) -> AsyncIterator[TailClient]:
    """A client that reads in the background, once it knows where it is."""
    client = TailClient(f"{api.url}/api/v1/logs/tail{query}", headers)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        task = asyncio.create_task(client.read(session))
        await eventually(lambda: settled(client, "position"), "the stream says where it is")
        try:
            yield client
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await task


async def settled(client: TailClient, kind: str, count: int = 1) -> bool:
    return len(client.of_kind(kind)) >= count


async def messages(client: TailClient, count: int) -> list[str]:
    await eventually(lambda: settled(client, "log", count), f"{count} events")
    return [log["message"] for log in client.of_kind("log")]


async def test_the_reader_passes_markers_and_aborted_records_and_says_which_offsets_are_gone(stack: Stack) -> None:
    topic = stack.settings.kafka.topic
    async with producing(stack, transactional_id=f"{stack.name}-t") as producer:
        for text, fails in (("kept", False), ("aborted", True), ("kept too", False)):
            with suppress(AssertionError):
                async with producer.transaction():
                    await producer.send_and_wait(topic, event_json(message=text), partition=1)
                    assert not fails  # which aborts the transaction
    reader = TopicReader(stack.settings.kafka)
    bounds = await reader.bounds()
    assert bounds == {0: (0, 0), 1: (0, 6), 2: (0, 0), 3: (0, 0)}
    reader.start(dict.fromkeys(bounds, 0))
    values, position = [], 0
    async with asyncio.timeout(20):
        while position < 6:
            for fetched in await reader.fetch(0.5):
                values += [json.loads(record.value or b"")["message"] for record in fetched.records]
                position = fetched.next_offset
    assert values == ["kept", "kept too"]
    reader.start({1: 99})
    with pytest.raises(OffsetsGoneError):
        await asyncio.wait_for(_fetch_for_ever(reader), 20)
    await reader.close()


async def _fetch_for_ever(reader: TopicReader) -> None:
    while True:
        await reader.fetch(0.5)


async def test_a_stream_is_filtered_and_goes_on_where_it_was(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack)
    await send(stack, "before")
    async with following(api, "?severity=HIGH&q=failed") as client:
        await send(stack, "failed once", "went well", partition=2)
        assert await messages(client, 1) == ["failed once"]
        async with producing(stack) as producer:
            await producer.send_and_wait(stack.settings.kafka.topic, b"no event", partition=2)
    assert parsed(client.last_event_id or "")[2] >= 1
    await send(stack, "failed meanwhile", partition=3)
    async with following(api, f"?q=failed&after={client.last_event_id}") as other:
        await send(stack, "failed again")
        assert set(await messages(other, 2)) == {"failed meanwhile", "failed again"}


async def test_frozen_or_killed_kafka_is_trouble_and_then_it_goes_on(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack)
    async with following(api) as client:
        for number, (hurt, mend) in enumerate(((_freeze, _thaw), (_kill, _restart)), 1):
            hurt(stack)
            await eventually(lambda n=number: settled(client, "trouble", 2 * n - 1), "it says so")  # type: ignore[misc]
            await asyncio.to_thread(mend, stack)
            await eventually(lambda n=number: settled(client, "trouble", 2 * n), "it is over", 60)  # type: ignore[misc]
            await send(stack, f"after {number}")
            assert (await messages(client, number))[-1] == f"after {number}"
        troubles = [trouble["detail"] for trouble in client.of_kind("trouble")]
    assert troubles[1::2] == [None, None]
    lines = [json.loads(line)["msg"] for line in api.process.log_text().splitlines() if "query_api.tail" in line]
    assert len(lines) <= 6, lines


def _freeze(stack: Stack) -> None:
    stack.servers.kafka.freeze()


def _thaw(stack: Stack) -> None:
    stack.servers.kafka.thaw()


def _kill(stack: Stack) -> None:
    stack.servers.kafka.kill()


def _restart(stack: Stack) -> None:
    stack.servers.kafka.start()
    stack.servers.kafka.wait_ready(60)


async def test_what_kafka_deleted_and_a_topic_made_anew_are_told(stack: Stack, spawn: Spawner) -> None:
    api, topic = start_query(spawn, stack), stack.settings.kafka.topic
    await send(stack, *(f"old {number}" for number in range(5)))
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.settings.kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=3)})
    async with following(api, "?after=0:1,1:0,2:0,3:0") as client:
        assert await messages(client, 2) == ["old 3", "old 4"]
        (skipped,) = client.of_kind("skipped")
        assert (skipped["events"], skipped["reason"]) == (2, "retention")
        span = {name: skipped[name] for name in ("start_time", "end_time")}
        assert api.get("/api/v1/logs/query", **span)[0] == 200
        await admin.delete_topics([topic])
        anew = NewTopic(topic, 4, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})

        async def made() -> bool:
            answer = await admin.create_topics([anew])
            return all(error[1] == 0 for error in answer.topic_errors)

        await eventually(made, "the topic is there again")
        await eventually(lambda: settled(client, "skipped", 2), "it is told", 60)
        assert client.of_kind("skipped")[1]["reason"] == "topic_made_anew"
        await send(stack, "new")
        assert (await messages(client, 3))[2:] == ["new"]
    await admin.close()


async def test_a_stream_ends_with_the_process_in_time_and_too_many_are_refused(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack, THREATLOG_QUERY_MAX_TAILS="1")
    async with following(api) as client:
        status, problem = await asyncio.to_thread(http_json, f"{api.url}/api/v1/logs/tail")
        assert (status, problem["code"]) == (503, "too_many_tails")
        api.process.child.send(signal.SIGTERM)
        assert await asyncio.to_thread(api.process.wait_exit, 10) == 0
        await eventually(lambda: settled(client, "ended"), "it says why")
        assert client.of_kind("ended")[0]["code"] == "stopping"
    assert '"level":"ERROR"' not in api.process.log_text()


async def test_a_revoked_key_ends_its_tail_and_no_other(stack: Stack, spawn: Spawner) -> None:
    keys = [await asyncio.to_thread(made, stack, "query") for _ in range(2)]
    process, url = start(spawn, stack, "query")
    await asyncio.to_thread(process.wait_http, f"{url}/readyz")
    api = QueryApi(process, url)
    async with (
        following(api, Authorization=f"Bearer {keys[0]}") as revoked,
        following(api, Authorization=f"Bearer {keys[1]}") as other,
    ):
        await asyncio.to_thread(threatlog, stack.environment, "keys", "revoke", keys[0].split("_")[1])
        began_s = time.monotonic()
        await eventually(lambda: settled(revoked, "ended"), "the tail of the revoked key ends")
        assert time.monotonic() - began_s < REVOKED_WITHIN_S
        assert revoked.of_kind("ended")[0]["code"] == "revoked_key"
        await send(stack, "for the other")
        assert await messages(other, 1) == ["for the other"]
    assert revoked.of_kind("log") == []
