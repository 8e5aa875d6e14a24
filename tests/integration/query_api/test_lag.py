"""The lag on a real Kafka: right when no worker lives, in the API, in the metrics and on the command line."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from query_api.kafka_consumer import KafkaUnavailableError
from query_api.kafka_lag import KafkaLog
from tests.conftest import MakeStack
from tests.integration.query_api.running import start_query
from tests.processes import Spawner, wait_until
from tests.servers import Stack, run_now
from tests.stored_events import store_positions
from tests.unit.query_api.builders import moment

pytestmark = pytest.mark.integration


async def produce(stack: Stack, counts: dict[int, int]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.settings.kafka.bootstrap_servers)
    await producer.start()
    for partition, count in counts.items():
        for number in range(count):
            await producer.send(stack.settings.kafka.topic, b"%d" % number, partition=partition)
    await producer.stop()


async def position(stack: Stack, next_offset: int, partitions: list[int], worker: str = "stream-gone-1") -> None:
    connection = await asyncpg.connect(stack.postgres_dsn)
    until = dict.fromkeys(partitions, moment(0))
    await store_positions(connection, stack.settings.kafka.topic, until, next_offset, worker)
    await connection.close()


def kafka_log(stack: Stack) -> KafkaLog:
    settings = stack.settings.kafka
    return KafkaLog(settings, lambda: datetime.now(UTC))


async def test_ends_are_those_of_every_partition(stack: Stack) -> None:
    await produce(stack, {0: 5, 2: 7})
    log = kafka_log(stack)
    try:
        assert (await log.ends()).offsets == {0: (0, 5), 1: (0, 0), 2: (0, 7), 3: (0, 0)}
        await produce(stack, {1: 1})
        assert (await log.ends()).offsets[1] == (0, 1)
    finally:
        await log.close()


async def test_a_records_append_time_is_found_by_its_offset(stack: Stack) -> None:
    before = datetime.now(UTC)
    await produce(stack, {0: 5, 1: 5})
    log = kafka_log(stack)
    try:
        await log.ends()
        for offsets in ({0: 0, 1: 3}, {0: 4}, {0: 4, 1: 0}):
            found = await log.appended_at(offsets)
            assert {partition: offset for partition, (offset, _) in found.items()} == offsets
            for _, appended in found.values():
                assert abs((appended - before).total_seconds()) < 60
    finally:
        await log.close()


async def test_a_record_that_does_not_come_is_left_out_within_a_bound(stack: Stack) -> None:
    await produce(stack, {0: 2})
    log = kafka_log(stack)
    try:
        await log.ends()
        async with asyncio.timeout(10):
            assert list(await log.appended_at({0: 1, 3: 0})) == [0]
    finally:
        await log.close()


async def test_kafka_that_is_gone_or_frozen_is_said_so_and_used_again_when_it_is_back(stack: Stack) -> None:
    log = kafka_log(stack)
    try:
        await log.ends()
        stack.servers.kafka.freeze()
        with pytest.raises(KafkaUnavailableError):
            async with asyncio.timeout(10):
                await log.ends()
        stack.servers.kafka.thaw()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert len((await log.ends()).offsets) == 4
                    break
                except KafkaUnavailableError:
                    await asyncio.sleep(0.2)
    finally:
        stack.servers.kafka.thaw()
        await log.close()


def test_the_api_tells_the_lag_of_each_partition_with_no_worker_alive(stack: Stack, spawn: Spawner) -> None:
    run_now(produce(stack, {0: 10, 1: 4}))
    run_now(position(stack, 4, [0, 1]))
    api = start_query(spawn, stack)

    def report() -> object:
        body = api.get("/api/v1/lag")[1]
        return body if not body["stale"] and body["partitions"][0]["oldest_unstored_age_s"] is not None else None

    found = wait_until(report, 20, "the lag is known")
    assert isinstance(found, dict)
    assert [entry["lag"] for entry in found["partitions"]] == [6, 0, 0, 0]
    assert [entry["next_offset"] for entry in found["partitions"]] == [4, 4, None, None]
    assert found["total"]["lag"] == 6
    assert found["total"]["seconds_to_catch_up"] is None
    assert found["partitions"][0]["worker"]["name"] == "stream-gone-1"
    wait_until(lambda: not api.get("/api/v1/lag")[1]["partitions"][0]["worker"]["alive"], 20, "its worker is gone")
    page = api.get("/api/v1/logs/query", start_time="2024-03-12T12:00:00Z", end_time="2024-03-12T13:00:00Z")[1]
    assert page["lag"]["events"] == 6


def test_the_lag_is_a_metric_for_each_partition(stack: Stack, spawn: Spawner) -> None:
    run_now(produce(stack, {2: 3}))
    api = start_query(spawn, stack)
    labels = f'group="{stack.settings.kafka.consumer_group}",partition="2",topic="{stack.settings.kafka.topic}"'
    expected = f"threatlog_consumer_lag_messages{{{labels}}} 3.0"

    def metrics() -> str:
        import urllib.request

        with urllib.request.urlopen(f"{api.url}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    wait_until(lambda: expected in metrics(), 20, expected)
    wait_until(lambda: f"threatlog_consumer_lag_seconds{{{labels}}}" in metrics(), 20, "the age of the oldest record")


def test_an_event_in_a_partition_that_nobody_took_makes_completeness_unknown(stack: Stack, spawn: Spawner) -> None:
    run_now(position(stack, 0, [0, 1, 2]))
    api = start_query(spawn, stack, THREATLOG_CACHE_QUERY_CACHE_ENABLED="false")
    hour = {"start_time": "2024-03-12T12:00:00Z", "end_time": "2024-03-12T13:00:00Z"}
    assert api.get("/api/v1/logs/query", **hour)[1]["complete_until"] == "2024-03-12T12:00:00Z"
    run_now(produce(stack, {3: 1}))
    found: dict[str, Any] = wait_until(
        lambda: body if (body := api.get("/api/v1/logs/query", **hour)[1])["complete_until"] is None else {},
        20,
        "the partition that nobody took is noticed",
    )
    assert "partition 3" in found["incomplete_reason"]


def test_the_command_shows_the_lag_when_nothing_else_lives(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(partitions=2)
    run_now(produce(stack, {0: 12}))
    run_now(position(stack, 2, [0]))
    command = spawn("lag", ["-m", "threatlog", "lag"], stack.environment)
    assert command.wait_exit(30) == 0
    text = command.log_text()
    assert "total 10" in text
    assert stack.settings.kafka.topic in text
    assert "none yet" in text


def test_the_command_says_which_server_does_not_answer(stack: Stack, spawn: Spawner) -> None:
    gone = stack.with_environment(THREATLOG_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    command = spawn("lag", ["-m", "threatlog", "lag"], gone)
    assert command.wait_exit(30) == 1
    assert "Kafka at 127.0.0.1:1" in command.log_text()
    assert "Traceback" not in command.log_text(), sys.executable
