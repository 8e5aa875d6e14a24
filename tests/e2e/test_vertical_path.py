"""One event over HTTP and one straight to Kafka, all the way to every answer of the query API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.fleet import Fleet, ready_fleet
from tests.processes import http_json, wait_until
from tests.servers import Stack, StackMaker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
_VISIBLE_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def stack(stack_maker: StackMaker) -> Iterator[Stack]:
    """One for the tests of this file: each asks for its own sources."""
    made = stack_maker.make(4, {})
    yield made
    stack_maker.remove(made)


@pytest.fixture(scope="module")
def fleet(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A gateway, one worker and a query API, ready."""
    with ready_fleet(stack, tmp_path_factory.mktemp("logs")) as made:
        yield made


def _event(moment: datetime, source: str, severity: str = "HIGH") -> dict[str, Any]:
    return {
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "severity": severity,
        "source": source,
        "message": "Failed password for root from 203.0.113.9",
        "attributes": {"user": "root", "port": 22},
    }


def _get(fleet: Fleet, path: str, **parameters: str) -> Any:
    status, body = http_json(f"{fleet.query_url}{path}?{urlencode(parameters)}", method="GET")
    return body if status == 200 else None


def _visible(fleet: Fleet, identifier: str) -> Any:
    path = f"/api/v1/logs/{quote(identifier)}"
    return wait_until(lambda: _get(fleet, path), _VISIBLE_WITHIN_S, f"{identifier} is visible")


async def _produce(stack: Stack, event: dict[str, Any]) -> tuple[int, int]:
    producer = AIOKafkaProducer(bootstrap_servers=stack.settings.kafka.bootstrap_servers, acks="all")
    await producer.start()
    try:
        place = await producer.send_and_wait(stack.settings.kafka.topic, json.dumps(event).encode())
    finally:
        await producer.stop()
    return place.partition, place.offset


def _same_moment(answer: str, sent: str) -> bool:
    return datetime.fromisoformat(answer) == datetime.fromisoformat(sent)


def test_an_event_over_http_is_found_by_its_id_with_all_its_fields(stack: Stack, fleet: Fleet) -> None:
    sent = _event(datetime.now(UTC), "10.1.2.3")
    status, answer = http_json(f"{fleet.gateway_url}/api/v1/logs/ingest", sent)
    assert status == 201
    found = _visible(fleet, answer["id"])
    assert _same_moment(found["timestamp"], sent["timestamp"])
    kept = {name: found[name] for name in ("id", "severity", "source", "message", "attributes")}
    assert kept == {"id": answer["id"]} | {name: sent[name] for name in kept if name != "id"}
    taken = datetime.fromisoformat(sent["timestamp"])
    assert taken <= datetime.fromisoformat(found["ingested_at"]) <= taken + timedelta(seconds=30)


def test_a_record_straight_to_kafka_is_found_by_its_own_id(stack: Stack, fleet: Fleet) -> None:
    sent = _event(datetime.now(UTC), "10.1.2.4") | {"id": str(uuid4())}
    asyncio.run(_produce(stack, sent))
    found = _visible(fleet, sent["id"])
    assert _same_moment(found["timestamp"], sent["timestamp"])
    assert {name: found[name] for name in sent if name != "timestamp"} == {
        name: value for name, value in sent.items() if name != "timestamp"
    }


def test_both_ways_in_meet_in_every_answer(stack: Stack, fleet: Fleet) -> None:
    # An hour in which nothing else happened, and a severity that no other test sends.
    now = datetime.now(UTC) - timedelta(hours=1)
    over_http = _event(now, "web-1", "CRITICAL")
    direct = _event(now - timedelta(seconds=1), "web-2", "CRITICAL") | {"id": str(uuid4())}
    _, answer = http_json(f"{fleet.gateway_url}/api/v1/logs/ingest", over_http)
    asyncio.run(_produce(stack, direct))
    ids = [answer["id"], direct["id"]]
    for identifier in ids:
        _visible(fleet, identifier)
    span = {"start_time": _rfc3339(now - timedelta(minutes=5)), "end_time": _rfc3339(now + timedelta(minutes=5))}

    page = wait_until(
        lambda: _when(_get(fleet, "/api/v1/logs/query", **span), lambda body: body["total"] == 2), 10.0, "both counted"
    )
    assert (page["count"], [event["id"] for event in page["logs"]]) == (2, ids)
    of_one = _get(fleet, "/api/v1/logs/query", **span, source="web-2", severity="HIGH,CRITICAL")
    assert [event["id"] for event in of_one["logs"]] == ids[1:]
    recent = wait_until(
        lambda: _when(_get(fleet, "/api/v1/logs/recent", severity="CRITICAL"), lambda body: len(body["logs"]) == 2),
        10.0,
        "both among the recent events",
    )
    assert [event["id"] for event in recent["logs"]] == ids
    stats = _get(fleet, "/api/v1/stats", **span)
    assert stats["total"] == 2
    assert stats["by_severity"]["CRITICAL"] == 2


def test_an_answer_says_up_to_when_it_is_complete_and_that_nothing_lags(stack: Stack, fleet: Fleet) -> None:
    _, answer = http_json(f"{fleet.gateway_url}/api/v1/logs/ingest", _event(datetime.now(UTC), "fw-1"))
    acknowledged = datetime.now(UTC)
    _visible(fleet, answer["id"])
    span = {
        "start_time": _rfc3339(acknowledged - timedelta(minutes=5)),
        "end_time": _rfc3339(acknowledged + timedelta(minutes=5)),
    }

    def complete(body: Any) -> bool:
        until = body["complete_until"]
        return until is not None and datetime.fromisoformat(until) >= acknowledged

    page = wait_until(
        lambda: _when(_get(fleet, "/api/v1/logs/query", **span, source="fw-1"), complete),
        20.0,
        "complete up to the acknowledgement",
    )
    assert page["total"] == 1
    lag = wait_until(
        lambda: _when(_get(fleet, "/api/v1/lag"), lambda body: _total_lag(body) == 0), 10.0, "a known lag of 0"
    )
    assert len(lag["partitions"]) == stack.settings.kafka.partitions


async def test_what_is_no_event_is_a_dead_letter_and_its_neighbours_are_stored(stack: Stack, fleet: Fleet) -> None:
    good = _event(datetime.now(UTC), "10.1.2.5") | {"id": str(uuid4())}
    partition, offset = await _produce(stack, {"severity": "HIGH"})
    await _produce(stack, good)
    await asyncio.to_thread(_visible, fleet, good["id"])
    connection = await asyncpg.connect(stack.postgres_dsn)
    row: Any = None
    async with asyncio.timeout(_VISIBLE_WITHIN_S):
        while row is None:
            await asyncio.sleep(0.05)
            row = await connection.fetchrow(_DEAD_LETTER, stack.settings.kafka.topic, partition, offset)
    await connection.close()
    assert (row["reason"], row["payload"]) == ("missing_field", b'{"severity": "HIGH"}')


_DEAD_LETTER = 'SELECT reason, payload FROM dead_letters WHERE topic = $1 AND partition = $2 AND "offset" = $3'


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _when(body: Any, condition: Any) -> Any:
    return body if body is not None and condition(body) else None


def _total_lag(body: Any) -> Any:
    return body["total"]["lag"]
