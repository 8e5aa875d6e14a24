"""The gateway's other answers: health, limits, description, metrics."""

from __future__ import annotations

import pytest

from ingest_gateway.publishing import PublishUnavailableError
from tests.unit.ingest_gateway.gateway_client import BATCH, EVENT, SINGLE, SMALL, assert_problem, make_gateway


async def test_health_says_that_kafka_is_connected() -> None:
    answer = await make_gateway().http.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy", "kafka": "connected"})


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_without_kafka_health_and_readiness_are_503_with_what_is_wrong(path: str) -> None:
    gateway = make_gateway()
    gateway.publisher.trouble = PublishUnavailableError("kafka_unavailable", "Kafka cannot be reached")

    assert assert_problem(await gateway.http.get(path), 503, "kafka_unavailable")["detail"] == "Kafka cannot be reached"


async def test_a_gateway_without_kafka_is_still_alive() -> None:
    gateway = make_gateway()
    gateway.publisher.trouble = PublishUnavailableError("kafka_unavailable", "x")

    assert (await gateway.http.get("/livez")).status_code == 200


async def test_a_stopping_gateway_is_not_ready_but_alive() -> None:
    gateway = make_gateway()
    assert (await gateway.http.get("/readyz")).status_code == 200
    gateway.readiness.stop()

    assert_problem(await gateway.http.get("/readyz"), 503, "stopping")
    assert (await gateway.http.get("/livez")).status_code == 200


async def test_every_limit_is_listed() -> None:
    answer = await make_gateway().http.get("/api/v1/limits")

    listed = answer.json()
    assert listed.items() >= SMALL.model_dump().items()
    assert {name: listed[name] for name in listed.keys() - SMALL.model_dump().keys()} == {
        "max_compressed_parts": 1000,
        "max_idempotency_key_chars": 255,
        "max_header_bytes": 32_768,
        "max_target_bytes": 8_192,
        "header_timeout_s": 5.0,
        "min_body_bytes_per_s": 1024,
        "max_connections": 10_000,
        "read_timeout_s": 30.0,
        "write_timeout_s": 5.0,
        "idle_timeout_s": 15.0,
    }


async def test_the_description_covers_every_route_with_examples_of_the_answers() -> None:
    http = make_gateway().http
    schema = (await http.get("/openapi.json")).json()

    assert {SINGLE, BATCH, "/health", "/livez", "/readyz", "/metrics", "/api/v1/limits"} <= set(schema["paths"])
    for path in (SINGLE, BATCH):
        responses = schema["paths"][path]["post"]["responses"]
        assert "example" in responses["201"]["content"]["application/json"]
        assert {"400", "408", "413", "415", "422", "429", "503"} <= set(responses)
    assert schema["components"]["schemas"]["Event"]["example"]["severity"] == "HIGH"
    assert (await http.get("/docs")).status_code == 200


async def test_the_example_event_of_the_description_is_accepted() -> None:
    http = make_gateway().http
    example = (await http.get("/openapi.json")).json()["components"]["schemas"]["Event"]["example"]

    assert (await http.post(SINGLE, json=example)).status_code == 201


async def test_events_are_counted_by_outcome_and_reason() -> None:
    gateway = make_gateway()
    await gateway.http.post(BATCH, json={"logs": [EVENT, EVENT, {**EVENT, "source": ""}]})

    assert gateway.metric('threatlog_ingest_events_total{outcome="accepted"}') == 2
    assert gateway.metric('threatlog_ingest_events_total{outcome="rejected"}') == 1
    assert gateway.metric('threatlog_ingest_rejected_events_total{reason="bad_source"}') == 1


async def test_requests_are_counted_by_route_and_never_by_path() -> None:
    gateway = make_gateway()
    await gateway.http.post(SINGLE, json=EVENT)
    for number in range(5):
        await gateway.http.get(f"/made-up/{number}")
    text = (await gateway.http.get("/metrics")).text

    labels = 'method="POST",route="/api/v1/logs/ingest",service="gateway"'
    assert gateway.metric('threatlog_http_requests_total{code="201",' + labels) == 1
    assert gateway.metric('threatlog_http_requests_total{code="404",method="GET",route="unmatched"') == 5
    assert "made-up" not in text
