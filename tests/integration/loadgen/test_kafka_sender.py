"""Rules of the Kafka target, on a real broker: what is acknowledged is in the topic, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from loadgen.kafka_sender import KafkaSender
from loadgen.outcome import Fate, TargetUnreachableError
from tests.servers import Stack

pytestmark = [pytest.mark.integration, pytest.mark.no_database]
DEADLINE_S = 60.0


async def _records(stack: Stack) -> list[tuple[int, bytes]]:
    """Every record of the stack's topic as (partition, value)."""
    kafka = stack.settings.kafka
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(kafka.topic, number) for number in range(kafka.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[tuple[int, bytes]] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(records) < sum(ends.values()):
                fetched = await consumer.getmany(timeout_ms=500)
                records += [(record.partition, record.value) for part in fetched.values() for record in part]
        return records
    finally:
        await consumer.stop()


def _sender(stack: Stack, timeout_s: float = 10.0) -> KafkaSender:
    kafka = stack.settings.kafka
    return KafkaSender(str(kafka.bootstrap_servers), kafka.topic, timeout_s)


async def test_a_run_leaves_each_event_once_in_the_topic(stack: Stack, tmp_path: Path) -> None:
    kafka, path = stack.settings.kafka, tmp_path / "result.json"
    where = ("--kafka-bootstrap", str(kafka.bootstrap_servers), "--topic", kafka.topic)
    load = ("--target", "kafka", "--rps", "2000", "--batch", "100", "--duration", "1")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadgen", "run", *load, *where, "--no-verify", "--no-freshness", "--json", str(path))
    )
    assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0
    records = await _records(stack)
    events = [json.loads(value) for _, value in records]
    assert len({UUID(event["id"]) for event in events}) == len(events) == 2000
    assert json.loads(path.read_bytes())["acked_events"] == 2000
    assert set(events[0]) == {"id", "timestamp", "severity", "source", "message", "attributes"}
    assert len(Counter(partition for partition, _ in records)) == kafka.partitions


async def test_more_than_a_batch_holds_is_split(stack: Stack) -> None:
    sender = _sender(stack)
    await sender.open()
    try:
        values = [b'"%06d%b"' % (number, b"x" * 1000) for number in range(2500)]
        attempt = await sender.attempt(sender.pack(values))
    finally:
        await sender.close()
    assert attempt.fate is Fate.ACKED
    assert sorted(value for _, value in await _records(stack)) == values


async def test_a_frozen_broker_leaves_the_events_unknown_in_time_and_a_repeat_succeeds(stack: Stack) -> None:
    sender = _sender(stack, timeout_s=2.0)
    await sender.open()
    try:
        stack.servers.kafka.freeze()
        began_s = time.monotonic()
        attempt = await sender.attempt([b'"frozen"'])
        assert (attempt.fate, attempt.retry) == (Fate.UNKNOWN, True)
        assert time.monotonic() - began_s < DEADLINE_S
        stack.servers.kafka.thaw()
        while attempt.fate is not Fate.ACKED:
            assert time.monotonic() - began_s < DEADLINE_S
            attempt = await sender.attempt([b'"frozen"'])
    finally:
        stack.servers.kafka.thaw()
        await sender.close()
    assert b'"frozen"' in [value for _, value in await _records(stack)]


async def test_where_no_broker_listens_it_says_so() -> None:
    with pytest.raises(TargetUnreachableError, match=r"Kafka at 127\.0\.0\.1:9, topic t: "):
        await KafkaSender("127.0.0.1:9", "t", 2.0).open()
