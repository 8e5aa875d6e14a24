"""Receipts over the real path: what the gateway acknowledged, what went to Kafka directly, and what became of each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.fleet import Fleet
from tests.fakes.kafka_records import event_json
from tests.processes import Spawner, http_json, wait_until
from tests.servers import Stack, run_now

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def _produce(stack: Stack, values: list[bytes]) -> list[int]:
    producer = AIOKafkaProducer(bootstrap_servers=stack.settings.kafka.bootstrap_servers, acks="all")
    await producer.start()
    try:
        return [(await producer.send_and_wait(stack.settings.kafka.topic, v, partition=1)).offset for v in values]
    finally:
        await producer.stop()


def receipt(fleet: Fleet, **asked: object) -> dict[str, Any]:
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    status, body = http_json(f"{fleet.query_url}/api/v1/receipts?{query}")
    assert status == 200, body
    found: dict[str, Any] = body
    return found


def until(fleet: Fleet, status: str, **asked: object) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    def has_it() -> bool:
        seen[:] = [receipt(fleet, **asked)]
        return bool(seen[0]["status"] == status)

    wait_until(has_it, 30, f"{asked} is {status}, not {seen}")
    return seen[0]


def test_each_record_is_told_what_became_of_it(stack: Stack, spawn: Spawner) -> None:
    fleet = Fleet(stack, spawn, workers=0, queries=1)
    fleet.wait_ready()
    identifier, moment = str(uuid4()), datetime.now(UTC).isoformat().replace("+00:00", "Z")
    event = {"id": identifier, "timestamp": moment, "severity": "LOW", "source": "a", "message": "m"}
    first, second = (http_json(f"{fleet.gateway_url}/api/v1/logs/ingest", event)[1]["receipt"] for _ in range(2))
    bad, direct = run_now(_produce(stack, [b'{"severity": "LOUD"}', event_json(message="direct")]))
    assert until(fleet, "queued", **first)["event"]["id"] == identifier
    assert "will be a dead letter" in receipt(fleet, partition=1, offset=bad)["detail"]
    queued = receipt(fleet, partition=1, offset=direct)
    assert receipt(fleet, id=queued["event"]["id"])["status"] == "queued"
    assert receipt(fleet, id=identifier)["status"] == "unknown"

    fleet.add_worker()
    fleet.wait_ready()
    until(fleet, "dead_lettered", partition=1, offset=bad)
    stored = until(fleet, "stored", partition=1, offset=direct)
    assert stored["event"] == queued["event"]
    until(fleet, "stored", id=identifier)
    wait_until(lambda: receipt(fleet, id=identifier)["complete_until"] is not None, 30, "it says how complete it is")
    wait_until(lambda: receipt(fleet, **second)["status"] != "queued", 30, "both are settled")
    verdicts = {receipt(fleet, **place)["status"]: place for place in (first, second)}
    # In partitions of their own they may be stored in either order.
    assert set(verdicts) == {"stored", "duplicate"}
    duplicate = receipt(fleet, **verdicts["duplicate"])
    assert duplicate["duplicate_of"] == receipt(fleet, **verdicts["stored"])["event"]
    assert "ends at offset" in receipt(fleet, partition=1, offset=direct + 1)["detail"]
    status, problem = http_json(f"{fleet.query_url}/api/v1/receipts?partition=17&offset=0")
    assert (status, problem["parameter"]) == (422, "partition")

    stack.servers.kafka.freeze()
    away = receipt(fleet, partition=1, offset=direct)
    stack.servers.kafka.thaw()
    assert (away["status"], away["known_by"]) == ("unknown", "consumer_offsets")
    assert receipt(fleet, partition=1, offset=bad)["dead_letter"]["reason"] == "missing_field", json.dumps(away)
