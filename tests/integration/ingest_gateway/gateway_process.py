"""A gateway process on a real Kafka, for the tests of it."""

from __future__ import annotations

import asyncio
import http.client
import random
import signal
import time
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from ingest_gateway.contract import EventLimits, EventRecord, check_event, decode_record
from tests.processes import Spawned, Spawner, http_json, http_status
from tests.servers import Stack, run_now
from threatlog.embedded.ports import free_port

EVENT = {"timestamp": "2026-11-24T10:15:30.123Z", "severity": "error", "source": "web-01", "message": "m"}
WRITE_TIMEOUT_S = 2.0
IN_FLIGHT = 'threatlog_http_requests_in_flight{service="gateway"}'


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    process: Spawned
    stack: Stack
    url: str
    port: int

    def single(self, **changes: object) -> tuple[int, Any]:
        return http_json(f"{self.url}/api/v1/logs/ingest", {**EVENT, **changes})

    def batch(self, *events: object) -> tuple[int, Any]:
        return http_json(f"{self.url}/api/v1/logs/ingest/batch", {"logs": events})

    def health(self) -> int | None:
        return http_status(f"{self.url}/health")

    def stored(self) -> list[tuple[int, int, EventRecord, list[tuple[str, bytes]], int]]:
        return run_now(read_topic(self.stack))


async def read_topic(stack: Stack) -> list[tuple[int, int, EventRecord, list[tuple[str, bytes]], int]]:
    """Every record of the topic: partition, offset, event, headers, timestamp type."""
    kafka = stack.settings.kafka
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    await consumer.start()
    try:
        places = [TopicPartition(kafka.topic, n) for n in range(kafka.partitions)]
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        found = []
        for _ in range(sum(ends.values())):
            record = await asyncio.wait_for(consumer.getone(), 20)
            event = decode_record(record.value)
            check_event(event, EventLimits())
            found.append((record.partition, record.offset, event, list(record.headers), record.timestamp_type))
    finally:
        await consumer.stop()
    return found


def start_gateway(stack: Stack, spawn: Spawner, **variables: str) -> Gateway:
    port = free_port(random.Random())
    environment = stack.with_environment(
        **{
            "THREATLOG_SERVER_PORT": str(port),
            "THREATLOG_SERVER_WRITE_TIMEOUT": f"{WRITE_TIMEOUT_S}s",
            **variables,
        }
    )
    process = spawn("gateway", ["-m", "threatlog", "gateway"], environment)
    return Gateway(process, stack, f"http://127.0.0.1:{port}", port)


def stop(gateway: Gateway) -> tuple[int, float]:
    """SIGTERM; the exit code and the seconds it took."""
    started = time.monotonic()
    gateway.process.child.request_stop(signal.SIGTERM)
    return gateway.process.wait_exit(15.0), time.monotonic() - started


def metric(gateway: Gateway, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))
