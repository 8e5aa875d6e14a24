"""Row D11: both APIs under requests made from their own descriptions, and the decoder under anything at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from ingest_gateway.contract import (
    UNDECODABLE,
    EventLimits,
    RejectedEventError,
    check_event,
    decode_received,
    decode_record,
)
from stream_app.fence import Span
from stream_app.prepare import prepare
from tests.fakes.kafka_records import FakeRecord
from tests.faults.intensity import Intensity, row
from tests.unit.ingest_gateway.gateway_client import make_gateway
from tests.unit.query_api.app_bench import Bench

# All of them but the one that holds a description to be complete: that a cursor goes without an offset, that a range
# ends after it begins, that no text has U+0000 however deep it lies, JSON Schema cannot say.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
    use_after_free,
]
APIS = {
    "gateway": schemathesis.openapi.from_asgi("/openapi.json", make_gateway().app),
    "query": schemathesis.openapi.from_asgi("/openapi.json", Bench().app),
}
OPERATIONS = [
    (api, f"{found.ok().method.upper()} {found.ok().path}")
    for api, schema in APIS.items()
    for found in schema.get_all_operations()
    if isinstance(found, Ok)
]


def operation(api: str, name: str) -> Any:
    """One operation of an API."""
    method, path = name.split(" ")
    return APIS[api][path][method]


@row("D11")
@pytest.mark.parametrize(("api", "name"), OPERATIONS)
def test_an_api_answers_whatever_its_description_allows_or_forbids_as_it_says(
    intensity: Intensity, api: str, name: str
) -> None:
    tried = 0
    count = intensity.pick(25, 2000)

    @settings(
        max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), derandomize=not intensity.full
    )
    @given(case=operation(api, name).as_strategy())
    def run(case: Any) -> None:
        nonlocal tried
        tried += 1
        answer = case.call()
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            problem = json.loads(answer.content)
            assert problem["status"] == answer.status_code
            assert problem["code"]
            assert problem["detail"]

    run()
    intensity.saw(f"{name}: {tried} requests")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS: Sequence[str] = ("severity", "source", "message", "timestamp", "id", "attributes", "received_at", "more")
EVENTS = st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES | st.sampled_from(["HIGH", "2026-11-24T10:00:00Z"]))
ANYTHING = st.binary(max_size=300) | EVENTS.map(lambda event: json.dumps(event).encode("utf-8", "surrogatepass"))


@row("D11")
def test_the_decoder_takes_anything_or_says_why_not(intensity: Intensity) -> None:
    tried = 0

    @settings(max_examples=intensity.pick(500, 100_000), deadline=None)
    @given(ANYTHING)
    def run(value: bytes) -> None:
        nonlocal tried
        tried += 1
        for decode in (decode_received, decode_record):
            try:
                check_event(decode(value), EventLimits())
            except RejectedEventError as refusal:
                assert refusal.detail.isprintable()  # noqa: PT017 - both outcomes are right
            except UNDECODABLE:
                raise AssertionError("the decoder let an error of its library out") from None
        # The worker stores it or keeps it as a dead letter; never neither, never both.
        prepared = prepare("topic", [Span(0, [FakeRecord(0, value, None, 1_767_225_600_000)])], EventLimits())
        assert len(prepared.rows) + len(prepared.dead_letters) == 1

    run()
    intensity.saw(f"{tried} values")
