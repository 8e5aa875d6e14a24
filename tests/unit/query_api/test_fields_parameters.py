"""What is asked of the fields of events, what is refused, and which of them are given."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import pytest

from query_api.fields_parameters import read_facets_request, read_fields_question
from query_api.filter_language.expressions import Attribute
from tests.unit.query_api.app_bench import HOUR, Bench
from tests.unit.query_api.builders import logged_event, with_attributes
from threatlog.process.problems import Problem


def test_fields_of_facets_are_names_with_commas_between_them() -> None:
    def fields_of(text: str) -> tuple[object, ...]:
        return read_facets_request(urlencode({**HOUR, "fields": text}).encode()).fields

    assert fields_of("severity,source,user.name,severity") == ("severity", "source", Attribute(("user", "name")))
    assert fields_of('attributes."a,b\\"c".d') == (Attribute(('a,b"c', "d")),)
    assert read_facets_request(urlencode(HOUR).encode()).fields == ()


@pytest.mark.parametrize(
    "text", ["", ",", "a,,b", "a,", "message", "a b", '"open', ",".join("abcdefghijklmnopqrstuvwxyzABCDEFGH")]
)
def test_what_are_no_fields_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        read_facets_request(urlencode({**HOUR, "fields": text}).encode())
    assert caught.value.extra["parameter"] == "fields"


@pytest.mark.parametrize("values", [{"limit": "0"}, {"limit": "1001"}, {"prefix": "x" * 3000}])
def test_what_is_out_of_bounds_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        read_fields_question(urlencode({**HOUR, **values}).encode())
    assert caught.value.extra["parameter"] == next(iter(values))


async def test_one_search_serves_all_prefixes(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.reader.stored = [
        with_attributes(logged_event(1), b'{"User":1,"user":{"name":2},"attributes":{"x":3},"sev":4}')
    ]

    async def names(**values: str) -> list[str]:
        answer = (await client.get("/api/v1/logs/fields", params={**HOUR, **values})).json()
        return [field["name"] for field in answer["fields"]]

    assert await names(prefix="USER") == ["attributes.User", "attributes.user.name"]
    assert bench.reader.asked == 1
    assert await names(prefix="attributes.u") == ["attributes.User", "attributes.user.name"]
    assert await names(prefix="se") == ["severity", "attributes.sev"]
    assert await names(prefix="attributes.a") == ["attributes.attributes.x"]
    assert await names(limit="1") == ["severity"]
    assert len(await names()) == 6
    assert bench.reader.asked == 1
