"""The gateway process on a real Kafka: what it stores, and what it answers while Kafka is frozen or gone."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from tests.conftest import MakeStack
from tests.integration.ingest_gateway.gateway_process import (
    EVENT,
    WRITE_TIMEOUT_S,
    Gateway,
    metric,
    start_gateway,
    stop,
)
from tests.processes import Spawner, http_json, http_status, wait_until
from tests.servers import Stack

pytestmark = [pytest.mark.integration, pytest.mark.no_database]


def test_an_acknowledged_event_is_in_kafka_at_its_receipt(gateway: Gateway) -> None:
    status, answer = gateway.single(attributes={"user": "root"})

    assert status == 201
    ((partition, offset, event, headers, timestamp_type),) = gateway.stored()
    assert (partition, offset) == (answer["receipt"]["partition"], answer["receipt"]["offset"])
    assert (str(event.id), event.severity, bytes(event.attributes)) == (answer["id"], "HIGH", b'{"user": "root"}')
    assert headers == [("content-type", b"application/json"), ("threatlog-version", b"1")]
    assert timestamp_type == 1, "the broker's clock stamps records"


def test_a_batch_of_5000_is_stored_whole_at_its_receipts(gateway: Gateway) -> None:
    status, answer = gateway.batch(*({**EVENT, "message": str(n)} for n in range(5000)))

    assert (status, answer["accepted"], answer["rejected"]) == (201, 5000, 0)
    stored = {(partition, offset): event for partition, offset, event, *_rest in gateway.stored()}
    places = [(r["partition"], r["offset"] + n) for r in answer["receipts"] for n in range(r["count"])]
    assert [stored[place].message for place in places] == [str(n) for n in range(5000)]
    assert [str(stored[place].id) for place in places] == answer["ids"]


def test_only_the_good_events_of_a_mixed_batch_are_stored(gateway: Gateway) -> None:
    status, answer = gateway.batch(EVENT, {**EVENT, "source": ""}, EVENT)

    assert (status, answer["accepted"]) == (201, 2)
    assert len(gateway.stored()) == 2


def test_a_large_compressed_body_over_a_kept_connection_is_taken(gateway: Gateway) -> None:
    body = gzip.compress(orjson.dumps({"logs": [{**EVENT, "message": "x" * 5000}] * 1000}))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for _ in range(3):
        connection.request("POST", "/api/v1/logs/ingest/batch", body, headers)
        answer = connection.getresponse()
        assert (answer.status, orjson.loads(answer.read())["accepted"]) == (201, 1000)
    connection.close()


def test_frozen_kafka_is_503_within_the_deadline_and_health_says_so(frozen_kafka: Gateway) -> None:
    started = time.monotonic()
    status, problem = frozen_kafka.single()

    assert (status, problem["code"], problem["retryable"]) == (503, "kafka_unavailable", True)
    assert time.monotonic() - started < WRITE_TIMEOUT_S + 1.5
    wait_until(lambda: frozen_kafka.health() == 503, 10, "health is 503")
    assert http_status(f"{frozen_kafka.url}/readyz") == 503
    assert http_status(f"{frozen_kafka.url}/livez") == 200


def test_after_a_freeze_it_recovers_alone_and_every_acknowledged_event_is_there(frozen_kafka: Gateway) -> None:
    assert frozen_kafka.single(message="during")[0] == 503
    frozen_kafka.stack.servers.kafka.thaw()
    wait_until(lambda: frozen_kafka.single(message="after")[0] == 201, 30, "events are taken again")

    assert "after" in {event.message for _p, _o, event, *_rest in frozen_kafka.stored()}


def test_a_restart_of_kafka_is_survived(gateway: Gateway) -> None:
    assert gateway.single(message="before")[0] == 201
    kafka = gateway.stack.servers.kafka
    kafka.kill()
    assert gateway.single(message="during")[0] == 503
    kafka.start()
    kafka.wait_ready(60)
    wait_until(lambda: gateway.single(message="after")[0] == 201, 30, "events are taken again")
    wait_until(lambda: gateway.health() == 200, 10, "health is 200")

    assert {"before", "after"} <= {event.message for _p, _o, event, *_rest in gateway.stored()}


def test_it_starts_without_kafka_and_takes_events_once_kafka_is_there(stack: Stack, spawn: Spawner) -> None:
    stack.servers.kafka.freeze()
    try:
        started = start_gateway(stack, spawn)
        started.process.wait_http(f"{started.url}/livez")
        assert started.health() == 503
    finally:
        stack.servers.kafka.thaw()
    wait_until(lambda: started.single()[0] == 201, 30, "events are taken")


def test_memory_stays_bounded_while_kafka_is_frozen(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(variables={"THREATLOG_LIMITS_MAX_UNACKNOWLEDGED_BYTES": "4MiB"})
    gateway = start_gateway(stack, spawn)
    gateway.process.wait_http(f"{gateway.url}/health")
    batch = [{**EVENT, "message": "x" * 1000}] * 1000
    stack.servers.kafka.freeze()
    try:
        with ThreadPoolExecutor(16) as senders:
            answers = list(senders.map(lambda _n: gateway.batch(*batch), range(32)))
        unacknowledged = metric(gateway, "threatlog_kafka_unacked_bytes")
    finally:
        stack.servers.kafka.thaw()

    assert {status for status, _problem in answers} == {503}
    assert {problem["code"] for _status, problem in answers} == {"kafka_unavailable"}
    assert {problem["may_be_stored"] for _status, problem in answers} == {True, False}
    assert unacknowledged <= 4 << 20
    wait_until(lambda: gateway.batch(*batch)[0] == 201, 30, "batches are taken again")


def test_a_taken_port_is_one_clear_line_and_exit_code_78(gateway: Gateway, spawn: Spawner) -> None:
    second = spawn(
        "second", ["-m", "ingest_gateway"], gateway.stack.with_environment(THREATLOG_SERVER_PORT=str(gateway.port))
    )

    assert second.wait_exit(20) == 78
    (line,) = second.log_text().splitlines()
    assert f"cannot listen on 127.0.0.1:{gateway.port}" in line
    assert "THREATLOG_SERVER_PORT" in line


def test_a_missing_topic_is_named_and_taken_up_when_it_appears(make_stack: MakeStack, spawn: Spawner) -> None:
    stack = make_stack(variables={})
    missing = f"{stack.settings.kafka.topic}.late"
    gateway = start_gateway(stack, spawn, THREATLOG_KAFKA_TOPIC=missing)
    gateway.process.wait_http(f"{gateway.url}/livez")
    wait_until(lambda: "threatlog topics" in str(http_json(f"{gateway.url}/health")[1]["detail"]), 20, "it is named")

    topics = spawn("topics", ["-m", "threatlog", "topics"], stack.with_environment(THREATLOG_KAFKA_TOPIC=missing))
    assert topics.wait_exit(30) == 0
    wait_until(lambda: gateway.single()[0] == 201, 20, "events are taken")


def test_bytes_that_are_no_http_are_answered_with_a_problem(gateway: Gateway) -> None:
    assert_raw_problem(gateway, b"nonsense\r\n\r\n", 400)


def test_endless_headers_are_answered_with_a_problem(gateway: Gateway) -> None:
    assert_raw_problem(gateway, b"GET / HTTP/1.1\r\nx: " + b"y" * 400_000, 431)


def assert_raw_problem(gateway: Gateway, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(sent)
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-type: application/problem+json" in head
    assert orjson.loads(body)["status"] == status


def test_its_log_is_one_json_object_a_line(gateway: Gateway) -> None:
    gateway.single()
    stop(gateway)

    lines = [orjson.loads(line) for line in gateway.process.log_text().splitlines()]
    assert {"listening", "Kafka answers", "stopping"} <= {line["msg"] for line in lines}
    assert {line["level"] for line in lines} == {"INFO"}
