"""What every event reader says of the fields of events and of their values."""

from __future__ import annotations

import pytest

from query_api.aggregation import TopField
from query_api.fields import FacetsRequest, FieldsRequest
from query_api.filter_language.expressions import Attribute
from query_api.filter_language.parse import parse
from query_api.reading import LoggedEvent
from tests.contract.event_readers import READERS, Subject, subject_of
from tests.fakes.memory_reader import MemoryReader
from tests.unit.query_api.builders import logged_event, moment, search_filter, with_attributes

ATTRIBUTES = (
    b'{"user":{"name":"root","id":0},"ip":"10.0.0.7","tags":["a","a",1,null,{"x":1}],"ok":true}',
    b'{"user":{"name":"Root","id":0.0},"ip":null,"tags":[],"ok":"true","n":-0}',
    b'{"user":"root","tags":[{"x":"first"},"b"],"n":1e400,"deep":{"er":{"est":[[1,2],[3]]}},"n":12345678901234567890123}',
    rb'{"a.b":{"":1},"q\"k":"\\u0000","nul\u0000":"x\u0000y","*":"*","\\\u0000":1,"severity":"high","[0]":0,"0":{"-1":2}}',
    b"{}",
    b'{"empty":{},"none":null,"list of lists":[[]]}',
)
FIELDS: tuple[TopField, ...] = (
    *("severity", "source"),
    *(Attribute((name,)) for name in ("user", "ip", "tags", "ok", "n", "absent", "a.b", "*", "nul\ufffd", 'q"k')),
    *(Attribute(path) for path in (("user", "name"), ("tags", "0"), ("tags", "-1"), ("tags", "0", "x"), ("a.b", ""))),
)


@pytest.fixture(params=READERS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return subject_of(request)


def told_apart() -> list[LoggedEvent]:
    """Each kind of attributes twice, and two events without any."""
    events = [logged_event(n, severity="HIGH" if n % 3 else "LOW", source="ab"[n % 2]) for n in range(1, 15)]
    kinds = zip(events, ATTRIBUTES * 2, strict=False)
    return [with_attributes(event, raw) for event, raw in kinds] + events[2 * len(ATTRIBUTES) :]


@pytest.mark.parametrize("text", ["", "severity:HIGH", "message", "user:* OR ip:*", "source:nobody"])
async def test_fields_and_values_are_those_of_a_plain_evaluation(subject: Subject, text: str) -> None:
    events = told_apart()
    wanted = search_filter(start=moment(2), expression=parse(text))
    async with subject.over(events) as reader:
        fields = await reader.fields(FieldsRequest(wanted))
        usual = await reader.facets(FacetsRequest(wanted))
        asked = await reader.facets(FacetsRequest(wanted, FIELDS, values=3))
        counted = await reader.facets(FacetsRequest(wanted, ("source", "severity")))
    plain = MemoryReader(events)
    assert fields.names == (await plain.fields(FieldsRequest(wanted))).names
    assert fields.total == len(plain._matching(wanted))
    assert fields.is_exact
    assert fields.looked.scanned_until is None
    assert usual.facets == (await plain.facets(FacetsRequest(wanted))).facets
    assert asked.facets == (await plain.facets(FacetsRequest(wanted, FIELDS, values=3))).facets
    assert counted.facets == (await plain.facets(FacetsRequest(wanted, ("source", "severity")))).facets


async def test_large_attributes_are_not_looked_into_and_that_is_said(subject: Subject) -> None:
    if subject.make_stack is None:
        pytest.skip("a list has no need to save memory")
    large = with_attributes(logged_event(1), b'{"large":"' + b"x" * 70_000 + b'"}')
    small = with_attributes(logged_event(2), b'{"small":"' + b"x" * 2_000 + b'"}')
    wanted = search_filter()
    async with subject.over([large, small]) as reader:
        fields = await reader.fields(FieldsRequest(wanted))
        facets = await reader.facets(FacetsRequest(wanted, ("source", Attribute(("small",)))))
    assert [name.attribute.path for name in fields.names] == [("small",)]
    assert (fields.total, fields.looked.events, fields.looked.unread, fields.is_exact) == (2, 2, 1, False)
    of_source, of_small = facets.facets
    assert (of_source.events, of_source.is_exact) == (2, True)
    # Its value is too long to be kept.
    assert (of_small.events, of_small.values, of_small.forgotten, of_small.is_exact) == (1, [], 1, False)
