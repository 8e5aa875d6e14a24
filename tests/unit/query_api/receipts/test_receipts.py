"""What became of a record, as HTTP answers, for everything that PostgreSQL and Kafka may say of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest

from ingest_gateway.contract import id_of_digest
from query_api.reading import LoggedEvent
from query_api.receipts.openapi import EXAMPLE
from query_api.receipts.store import DeadLetterOf, LostSpan
from query_api.tail.live_event import EventDecoder
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC
from tests.unit.query_api.app_bench import Bench
from tests.unit.query_api.builders import NOON

PATH = "/api/v1/receipts"
VERSION_4 = "6f2f4bd4-0a53-4d22-8b5c-4a6f5b1d2c3e"
MOMENT = "2026-11-24T09:59:59.500000Z"


async def receipt(client: httpx.AsyncClient, **asked: object) -> dict[str, Any]:
    answer = await client.get(PATH, params={name: str(value) for name, value in asked.items()})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert list(found) == list(EXAMPLE)
    return found


def event_at(bench: Bench, offset: int, partition: int = 0) -> LoggedEvent:
    """What the record there is once it is stored."""
    found = EventDecoder(TOPIC, LIMITS).event_of(partition, bench.topic.logs[partition][offset])
    assert found is not None
    return found.logged()


async def test_a_record_that_is_not_stored_yet_is_queued(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.topic.append()
    found = await receipt(client, partition=0, offset=0)
    assert (found["status"], found["known_by"]) == ("queued", "kafka")
    assert found["event"]["id"] == str(event_at(bench, 0).id)


async def test_a_record_whose_event_is_there_as_it_has_it_is_stored(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.topic.append(id=VERSION_4, timestamp=MOMENT, attributes={"n": 1})
    bench.receipts.next_offsets[0] = 1
    bench.receipts.store(event_at(bench, 0))
    found = await receipt(client, partition=0, offset=0)
    assert (found["status"], found["known_by"]) == ("stored", "logs")
    assert found["event"] == {"id": VERSION_4, "timestamp": MOMENT, "ingested_at": "2026-11-24T10:00:00Z"}


@pytest.mark.parametrize(("message", "content"), [("Failed password", "the same"), ("changed", "another")])
async def test_a_record_of_an_event_that_another_one_was_stored_for_is_a_duplicate_of_it(
    bench: Bench, client: httpx.AsyncClient, message: str, content: str
) -> None:
    bench.topic.append(id=VERSION_4, timestamp=MOMENT, received_at="2026-11-24T09:59:59.6Z")
    bench.topic.append(id=VERSION_4, timestamp=MOMENT, received_at="2026-11-24T09:59:59.7Z", message=message)
    bench.receipts.next_offsets[0] = 2
    bench.receipts.store(event_at(bench, 0))
    assert (await receipt(client, partition=0, offset=0))["status"] == "stored"
    found = await receipt(client, partition=0, offset=1)
    assert found["status"] == "duplicate"
    assert found["duplicate_of"]["ingested_at"] == "2026-11-24T09:59:59.600000Z"
    assert found["event"]["ingested_at"] == "2026-11-24T09:59:59.700000Z"
    assert f"with {content} content" in found["detail"]


async def test_a_dead_letter_says_why_and_where_it_was_sent_again(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.receipts.next_offsets[0] = 8
    bench.receipts.dead_letters[0, 7] = DeadLetterOf("bad_severity", "severity 'LOUD'", NOON, "redriven", 1, 12)
    found = await receipt(client, partition=0, offset=7)
    assert (found["status"], found["known_by"]) == ("dead_lettered", "dead_letters")
    assert found["dead_letter"]["reason"] == "bad_severity"
    assert (found["dead_letter"]["redriven_partition"], found["dead_letter"]["redriven_offset"]) == (1, 12)


async def test_what_kafka_deleted_before_it_was_stored_is_lost(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.receipts.next_offsets[0] = 20
    bench.receipts.gaps[0] = LostSpan(5, 10, NOON)
    assert (await receipt(client, partition=0, offset=5))["known_by"] == "offset_gaps"
    assert (await receipt(client, partition=0, offset=9))["status"] == "lost"
    assert (await receipt(client, partition=0, offset=10))["status"] == "unknown"


async def test_what_is_about_to_be_lost_is_called_so(bench: Bench, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        bench.topic.append()
    bench.topic.forget_before(0, 2)
    bench.receipts.next_offsets[0] = 1
    found = await receipt(client, partition=0, offset=1)
    assert (found["status"], found["known_by"]) == ("lost", "kafka")


async def test_an_old_record_was_passed_and_kafka_has_it_no_more(bench: Bench, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        bench.topic.append()
    bench.topic.forget_before(0, 2)
    bench.receipts.next_offsets[0] = 3
    found = await receipt(client, partition=0, offset=1)
    assert (found["status"], found["known_by"]) == ("unknown", "consumer_offsets")
    assert "ask by the event's id" in found["detail"]


async def test_where_kafka_is_away_it_says_what_the_tables_know(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.topic.append()
    bench.topic.trouble = "Kafka at 127.0.0.1:9: no answer in time"
    bench.receipts.next_offsets[0] = 1
    passed, waiting = await receipt(client, partition=0, offset=0), await receipt(client, partition=0, offset=1)
    assert "it was stored, or repeated an event that was" in passed["detail"]
    assert "it is not stored" in waiting["detail"]
    assert {passed["status"], waiting["status"]} == {"unknown"}
    bench.receipts.dead_letters[0, 0] = DeadLetterOf("not_json", "x", NOON, None, None, None)
    assert (await receipt(client, partition=0, offset=0))["status"] == "dead_lettered"


async def test_a_marker_an_offset_that_is_not_there_yet_and_a_day_that_went(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    bench.topic.append()
    bench.topic.append_marker()
    bench.receipts.next_offsets[0] = 2
    assert "transaction" in (await receipt(client, partition=0, offset=1))["detail"]
    assert "ends at offset 2" in (await receipt(client, partition=0, offset=2))["detail"]
    assert "retention removes days" in (await receipt(client, partition=0, offset=0))["detail"]


async def test_by_id_an_event_is_stored_queued_where_its_id_says_or_unknown(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    bench.topic.append(id=VERSION_4, timestamp=MOMENT)
    bench.topic.append(message="direct")
    direct = event_at(bench, 1)
    assert (await receipt(client, id=VERSION_4))["status"] == "unknown"
    assert (await receipt(client, id=UUID(int=7)))["status"] == "unknown"
    # Made of its position, so it is found where it lies before it is stored.
    found = await receipt(client, id=direct.id)
    assert (found["status"], found["offset"], found["event"]["id"]) == ("queued", 1, str(direct.id))
    bench.receipts.store(event_at(bench, 0))
    assert (await receipt(client, id=VERSION_4))["status"] == "stored"
    assert (await receipt(client, id=VERSION_4, timestamp=MOMENT))["status"] == "stored"
    assert (await receipt(client, id=VERSION_4, timestamp="2026-11-24T09:00:00Z"))["status"] == "unknown"


async def test_an_id_that_only_looks_like_a_position_is_not_taken_for_one(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    bench.topic.append()
    real = event_at(bench, 0).id
    other = UUID(bytes=id_of_digest(NOON_MS * 1000, b"0" * 16).bytes[:14] + real.bytes[14:])
    found = await receipt(client, id=other)
    assert (found["status"], found["partition"]) == ("unknown", None)


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({}, "partition"),
        ({"partition": "0"}, "offset"),
        ({"offset": "0"}, "partition"),
        ({"partition": "-1", "offset": "0"}, "partition"),
        ({"partition": "0", "offset": "1e3"}, "offset"),
        ({"partition": "0", "offset": "9" * 30}, "offset"),
        ({"partition": "1", "offset": "0"}, "partition"),
        ({"id": "x"}, "id"),
        ({"id": VERSION_4, "offset": "0"}, "offset"),
        ({"partition": "0", "offset": "0", "timestamp": MOMENT}, "timestamp"),
        ({"id": VERSION_4, "timestamp": "now"}, "timestamp"),
        ({"topic": "x"}, "topic"),
    ],
)
async def test_bad_input_names_the_parameter(client: httpx.AsyncClient, asked: dict[str, str], parameter: str) -> None:
    answer = await client.get(PATH, params=asked)
    assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)
