"""The gateway's HTTP answers: what a sender gets for good, bad, partly bad and oversized requests."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
import zstandard

from ingest_gateway.contract import decode_record
from tests.unit.ingest_gateway.gateway_client import BATCH, EVENT, SINGLE, SMALL, assert_problem, make_gateway
from threatlog.process.settings import Limits

V4 = "5b0f9f1e-0c5b-4b0e-8a51-2f9a6b1c7d3e"


async def test_a_single_event_is_201_with_id_status_timestamp_and_receipt() -> None:
    gateway = make_gateway()
    answer = await gateway.http.post(SINGLE, json=EVENT)

    assert answer.status_code == 201
    body = answer.json()
    assert body == {
        "id": body["id"],
        "status": "ingested",
        "timestamp": "2026-11-24T10:15:30.123000Z",
        "receipt": {"partition": 0, "offset": 0},
    }
    assert UUID(body["id"]).version == 7
    assert [decode_record(value).message for value in gateway.publisher.values] == ["m"]


async def test_a_single_event_may_have_attributes_and_an_id() -> None:
    gateway = make_gateway()
    answer = await gateway.http.post(SINGLE, json={**EVENT, "id": V4, "attributes": {"a": [1]}})

    assert answer.json()["id"] == V4
    assert bytes(decode_record(gateway.publisher.values[0]).attributes) == b'{"a":[1]}'


async def test_an_event_without_a_timestamp_is_answered_with_the_time_of_receipt() -> None:
    answer = await make_gateway().http.post(SINGLE, json={k: v for k, v in EVENT.items() if k != "timestamp"})

    assert answer.json()["timestamp"] == "2026-11-24T10:15:31.500000Z"


async def test_records_carry_content_type_version_and_the_sender_s_traceparent() -> None:
    gateway = make_gateway()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await gateway.http.post(SINGLE, json=EVENT, headers={"traceparent": trace})
    await gateway.http.post(SINGLE, json=EVENT, headers={"traceparent": "x" * 1000})

    plain = [("content-type", b"application/json"), ("threatlog-version", b"1")]
    assert gateway.publisher.log[0][0][1] == [*plain, ("traceparent", trace.encode())]
    assert gateway.publisher.log[1][0][1] == plain


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b"[]", 422, "not_an_object"),
        (b'{"severity":"HIGH"}', 422, "missing_field"),
        (orjson.dumps({**EVENT, "severity": "LOUD"}), 422, "bad_severity"),
        (orjson.dumps({**EVENT, "timestamp": "now"}), 422, "bad_timestamp"),
        (orjson.dumps({**EVENT, "message": "x" * 5000}), 413, "event_too_large"),
        (b"", 400, "missing_body"),
    ],
)
async def test_a_bad_single_event_is_a_problem_with_its_code(body: bytes, status: int, code: str) -> None:
    gateway = make_gateway()

    assert_problem(await gateway.http.post(SINGLE, content=body), status, code)
    assert gateway.publisher.values == []


async def test_a_batch_keeps_the_good_and_names_the_bad() -> None:
    gateway = make_gateway()
    bad = {**EVENT, "severity": "LOUD"}
    answer = await gateway.http.post(BATCH, json={"logs": [EVENT, bad, EVENT, 3]})

    assert answer.status_code == 201
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 2)
    assert [identifier is None for identifier in body["ids"]] == [False, True, False, True]
    assert [(error["index"], error["code"]) for error in body["errors"]] == [(1, "bad_severity"), (3, "not_an_object")]
    assert all(error["detail"] for error in body["errors"])
    assert body["receipts"] == [{"partition": 0, "offset": 0, "count": 2}]
    assert [str(decode_record(value).id) for value in gateway.publisher.values] == [body["ids"][0], body["ids"][2]]


async def test_a_batch_that_is_all_bad_is_422_with_each_error() -> None:
    answer = await make_gateway().http.post(BATCH, json={"logs": [{**EVENT, "source": ""}, 3]})

    body = assert_problem(answer, 422, "all_rejected")
    assert (body["accepted"], body["rejected"]) == (0, 2)
    assert [(error["index"], error["code"]) for error in body["errors"]] == [(0, "bad_source"), (1, "not_an_object")]


@pytest.mark.parametrize("good", [0, 1])
async def test_every_error_is_listed_and_counted(good: int) -> None:
    gateway = make_gateway(limits=SMALL.model_copy(update={"max_batch_events": 1000}))
    body = (await gateway.http.post(BATCH, json={"logs": [3] * 150 + [EVENT] * good})).json()

    assert body["rejected"] == 150
    assert [error["index"] for error in body["errors"]] == list(range(150))
    assert gateway.metric('threatlog_ingest_rejected_events_total{reason="not_an_object"}') == 150


@pytest.mark.parametrize("good", [0, 1])
async def test_an_answer_repeats_only_a_little_of_what_was_sent(good: int) -> None:
    gateway = make_gateway(limits=Limits())
    bad = {**EVENT, "x" * 50_000: 1}
    answer = await gateway.http.post(BATCH, json={"logs": [bad] * 100 + [EVENT] * good})

    assert len(answer.json()["errors"]) == 100
    assert len(answer.content) < 50_000


async def test_ndjson_is_one_event_a_line() -> None:
    lines = orjson.dumps(EVENT) + b"\nnonsense\n" + orjson.dumps(EVENT) + b"\n"
    answer = await make_gateway().http.post(BATCH, content=lines, headers={"content-type": "application/x-ndjson"})

    assert answer.status_code == 201
    assert [(error["index"], error["code"]) for error in answer.json()["errors"]] == [(1, "not_json")]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
@pytest.mark.parametrize(("path", "document"), [(SINGLE, EVENT), (BATCH, {"logs": [EVENT]})])
async def test_compressed_bodies_are_taken(
    encoding: str, compress: Callable[[bytes], bytes], path: str, document: object
) -> None:
    gateway = make_gateway()
    content = compress(orjson.dumps(document))
    answer = await gateway.http.post(path, content=content, headers={"content-encoding": encoding})

    assert answer.status_code == 201
    assert gateway.metric('threatlog_ingest_bytes_total{stage="wire"}') == len(content)
    assert gateway.metric('threatlog_ingest_bytes_total{stage="decoded"}') == len(orjson.dumps(document))


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"content-type": "text/plain"}, b"x", 415, "unsupported_media_type"),
        ({"content-encoding": "br"}, b"x", 415, "unsupported_encoding"),
        ({"content-encoding": "gzip"}, b"x", 400, "bad_compression"),
        ({"content-encoding": "gzip"}, gzip.compress(bytes(50_000), mtime=0), 413, "body_too_large"),
        ({}, bytes(20_001), 413, "body_too_large"),
        ({"idempotency-key": ""}, b"x", 400, "bad_idempotency_key"),
        ({}, b'{"logs":[1,2,3,4,5,6]}', 413, "too_many_events"),
        ({}, b'{"logs":[]}', 422, "empty_batch"),
        ({}, b'{"other":[]}', 422, "bad_batch"),
        ({}, b"{", 400, "not_json"),
    ],
)
async def test_a_request_that_cannot_be_read_is_a_problem(
    headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    assert_problem(await make_gateway().http.post(BATCH, content=content, headers=headers), status, code)


@pytest.mark.parametrize("name", ["Content-Type", "Content-Encoding", "Idempotency-Key"])
async def test_a_header_that_is_there_twice_is_400_with_its_name(name: str) -> None:
    gateway = make_gateway()
    headers = [(name, "application/json"), ("X-Other", "a"), (name, "application/json")]
    answer = await gateway.http.post(SINGLE, content=orjson.dumps(EVENT), headers=headers)

    assert name.lower() in assert_problem(answer, 400, "repeated_header")["detail"]
    assert gateway.publisher.values == []


async def test_other_headers_may_be_there_twice() -> None:
    headers = [("X-Other", "a"), ("X-Other", "b")]

    assert (await make_gateway().http.post(SINGLE, json=EVENT, headers=headers)).status_code == 201


async def test_an_oversized_body_without_a_length_is_413_as_well() -> None:
    async def pieces() -> Any:
        for _ in range(30):
            yield bytes(1000)

    assert_problem(await make_gateway().http.post(BATCH, content=pieces()), 413, "body_too_large")


@pytest.mark.parametrize(("path", "document"), [(SINGLE, EVENT), (BATCH, {"logs": [EVENT, EVENT]})])
async def test_a_retry_under_the_same_key_has_the_same_ids(path: str, document: object) -> None:
    gateway = make_gateway()
    first, second = [
        (await gateway.http.post(path, json=document, headers={"Idempotency-Key": "k1"})).json() for _ in range(2)
    ]

    assert first.get("id") == second.get("id")
    assert first.get("ids") == second.get("ids")


async def test_another_event_under_the_same_key_has_another_id() -> None:
    gateway = make_gateway()
    first, second = [
        (await gateway.http.post(SINGLE, json={**EVENT, "message": text}, headers={"Idempotency-Key": "k1"})).json()
        for text in ("one", "two")
    ]

    assert first["id"] != second["id"]


async def test_under_a_key_an_event_without_time_is_refused_with_that_reason() -> None:
    event = {k: v for k, v in EVENT.items() if k != "timestamp"}
    answer = await make_gateway().http.post(SINGLE, json=event, headers={"Idempotency-Key": "k1"})

    assert "timestamp" in assert_problem(answer, 422, "id_without_timestamp")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/api/v1/logs", 404, "not_found"),
        ("GET", SINGLE, 405, "method_not_allowed"),
        ("PUT", BATCH, 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("OPTIONS", SINGLE, 405, "method_not_allowed"),
        ("POST", f"{SINGLE}/", 404, "not_found"),
        ("GET", "/health/", 404, "not_found"),
    ],
)
async def test_paths_and_methods_that_do_not_exist_are_problems(method: str, path: str, status: int, code: str) -> None:
    answer = await make_gateway().http.request(method, path)

    assert_problem(answer, status, code)
    assert ("allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics", "/api/v1/limits", "/docs"])
async def test_head_is_answered_like_get_and_counted_as_itself(path: str) -> None:
    gateway = make_gateway()
    answer = await gateway.http.head(path)

    assert answer.status_code == 200
    row = f'threatlog_http_requests_total{{code="200",method="HEAD",route="{path}",service="gateway"}}'
    assert gateway.metric(row) == 1
