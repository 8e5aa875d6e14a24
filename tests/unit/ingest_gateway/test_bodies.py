"""From body bytes to items: content types, JSON and NDJSON with bad items among good ones."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.bodies import JSON, NDJSON, BatchItem, batch_of_json, batch_of_ndjson, media_type
from ingest_gateway.contract import MAX_DETAIL_CHARS, ReceivedEvent, RejectedEventError
from ingest_gateway.item_split import MAX_BRACKETS, split_items
from tests.unit.ingest_gateway.request_bodies import EVENT, MIB, problem_of
from threatlog.process.problems import Problem


def codes(items: Sequence[BatchItem]) -> list[str]:
    return [item.code if isinstance(item, RejectedEventError) else item.message for item in items]


def of_json(*items: bytes) -> Sequence[BatchItem]:
    return batch_of_json(b'{"logs":[' + b",".join(items) + b"]}", 10)


@pytest.mark.parametrize(
    "header", [None, b"", b"application/json", b"Application/JSON; charset=UTF-8", b"application/json;charset=utf8"]
)
def test_json_in_utf8_is_taken_and_is_what_no_content_type_means(header: bytes | None) -> None:
    assert media_type(header, (JSON,)) == JSON


@pytest.mark.parametrize(
    "header",
    [b"text/plain", b"application/x-ndjson", b"application/json; charset=latin-1", b"\xff", b"application/jsonx"],
)
def test_any_other_content_type_is_415(header: bytes) -> None:
    assert problem_of(lambda: media_type(header, (JSON,))) == (415, "unsupported_media_type")


def test_a_wrong_content_type_is_told_what_is_right() -> None:
    with pytest.raises(Problem) as refusal:
        media_type(b"text/plain", (JSON, NDJSON))
    assert "'text/plain' is not application/json or application/x-ndjson in UTF-8" in refusal.value.detail


def test_a_good_batch_is_its_events_in_order() -> None:
    items = of_json(EVENT.replace(b'"m"', b'"1"'), EVENT.replace(b'"m"', b'"2"'))

    assert [type(item) for item in items] == [ReceivedEvent, ReceivedEvent]
    assert codes(items) == ["1", "2"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"3", "not_an_object"),
        (b'{"severity":NaN}', "not_json"),
        (b"nonsense", "not_json"),
        (EVENT + b" " + EVENT, "not_json"),
        (b"null", "not_an_object"),
        (b'{"severity":"LOW"}', "missing_field"),
        (b'{"severity":"LOW","source":"s","message":"m","x":1}', "unknown_field"),
        (b'{"severity":"LOW","source":"s","message":7}', "wrong_type"),
        (b'{"severity":"LOW","source":"s","message":"\xff"}', "not_json"),
        (b'{"severity":"LOW","source":"s","message":"\\ud800"}', "not_json"),
        (b'{"severity":"LOW","source":"s","message":"m","timestamp":"x"}', "bad_timestamp"),
        (
            b'{"severity":"LOW","source":"s","message":"m","attributes":' + b'{"]":' * 3000 + b"1" + b"}" * 3001,
            "attributes_too_deep",
        ),
    ],
)
@pytest.mark.parametrize("way", ["json", "ndjson"])
def test_a_bad_item_costs_its_neighbours_nothing(bad: bytes, code: str, way: str) -> None:
    items = of_json(EVENT, bad, EVENT) if way == "json" else batch_of_ndjson(b"\n".join((EVENT, bad, EVENT)), 10)

    assert codes(items) == ["m", code, "m"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"logs":[' + EVENT,
        b'{"logs":[' + EVENT + b"]} x",
        b'{"logs":[{]}',
        b"\xff",
        b'{"logs":[' + b'{"a":' * 3000,
        b'{"logs":[' + b"[" * 3000 + b"]" * 3000 + b"]",
    ],
)
def test_a_body_that_is_not_json_is_400(body: bytes) -> None:
    assert problem_of(lambda: batch_of_json(body, 10)) == (400, "not_json")


@pytest.mark.parametrize(
    "body", [b"[]", b"3", b"{}", b'{"logs":3}', b'{"logs":null}', b'{"logs":[],"more":1}', b'{"events":[]}']
)
def test_json_of_another_shape_is_422(body: bytes) -> None:
    assert problem_of(lambda: batch_of_json(body, 10)) == (422, "bad_batch")


@pytest.mark.parametrize(("decode", "body"), [(batch_of_json, b'{"logs":[]}'), (batch_of_ndjson, b"\n \n")])
def test_a_batch_without_events_is_422(decode: Callable[[bytes, int], object], body: bytes) -> None:
    assert problem_of(lambda: decode(body, 10)) == (422, "empty_batch")


@pytest.mark.parametrize("item", [EVENT, b"3"], ids=["good", "bad"])
def test_more_items_than_allowed_are_413_and_as_many_as_allowed_are_not(item: bytes) -> None:
    assert len(of_json(*[item] * 10)) == 10
    assert problem_of(lambda: of_json(*[item] * 11)) == (413, "too_many_events")
    assert problem_of(lambda: batch_of_ndjson(b"\n".join([item] * 11), 10)) == (413, "too_many_events")


@pytest.mark.parametrize("bad", [b"", b"x\n"], ids=["all good", "one bad"])
def test_blank_lines_and_windows_line_ends_count_for_nothing(bad: bytes) -> None:
    items = batch_of_ndjson(bad + EVENT + b"\r\n\r\n  \n" + EVENT + b"\r\n", 10)

    assert codes(items) == ["not_json", "m", "m"] if bad else ["m", "m"]


def test_brackets_in_text_do_not_confuse_a_batch_with_a_too_deep_item() -> None:
    tricky = b'{"severity":"LOW","source":"s","message":"]}, {[ \\" \\\\"}'
    deep = b"[" * 2000 + b"]" * 2000

    assert codes(of_json(tricky, deep, tricky)) == [']}, {[ " \\', "not_an_object", ']}, {[ " \\']


@pytest.mark.parametrize(
    "item", [b"1", b"[]", b"{}", EVENT, EVENT[:-1] + b',"attributes":{"severity":"x"}}', b"nonsense"]
)
@pytest.mark.parametrize(
    ("before", "after"), [(b'{"logs":[', b"]}"), (b'{ "logs" : [', b"]} x"), (b'{"\\u006cogs":[', b"]}")]
)
def test_far_too_many_items_are_refused_before_they_are_built(item: bytes, before: bytes, after: bytes) -> None:
    body = before + (item + b",") * (2 * MIB // len(item)) + item + after
    tracemalloc.start()
    try:
        with pytest.raises(Problem):
            batch_of_json(body, 1000)
        # Typed events may become five times their JSON; anything else must cost next to nothing.
        assert tracemalloc.get_traced_memory()[1] < (
            12 * MIB if b"u006c" in before and item[:10] == EVENT[:10] else MIB
        )
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line", [b"1", EVENT, b"nonsense", b" \n1"])
def test_far_too_many_lines_are_refused_before_they_are_built(line: bytes) -> None:
    body = (line + b"\n") * (2 * MIB // len(line))
    tracemalloc.start()
    try:
        assert problem_of(lambda: batch_of_ndjson(body, 1000)) == (413, "too_many_events")
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("start", [b'"', b'[{"a":"', b'{"message":"'])
def test_a_string_without_an_end_is_walked_through_once(start: bytes) -> None:
    # From each of its quotes anew, this took a minute.
    body = b'{"logs":[' + start + b'\\"' * 60_000
    began = time.process_time()

    assert problem_of(lambda: batch_of_json(body, 10)) == (400, "not_json")
    assert time.process_time() - began < 10


def test_brackets_without_number_are_not_counted_to_their_end() -> None:
    body = b'{"logs":[' + b"[" * (MAX_BRACKETS + 1)

    assert problem_of(lambda: batch_of_json(body, 10)) == (422, "bad_batch")


@pytest.mark.parametrize("name", ['"logs"', '"\\u006cogs"', '"lo\\u0067s"'])
@pytest.mark.parametrize("first", [EVENT, b"3"], ids=["all good", "one bad"])
def test_a_second_list_is_refused_instead_of_replacing_the_first(name: str, first: bytes) -> None:
    body = b'{"logs":[' + first + b"] ,\n" + name.encode() + b":[" + EVENT + b"]}"

    assert problem_of(lambda: batch_of_json(body, 10)) == (422, "bad_batch")


def test_what_looks_like_a_second_list_within_an_event_is_none() -> None:
    good = b'{"severity":"LOW","source":"s","message":"m","attributes":{"a":[1],"logs":[2],"\\u0020":[]}}'

    assert codes(of_json(good, EVENT)) == ["m", "m"]
    assert codes(of_json(good, b"3")) == ["m", "not_an_object"]


@pytest.mark.parametrize(
    "body", [b'{"' + b"x" * 100_000 + b'":1}', b'{"a\\u0000":1}', b'{"logs":[],"' + b"y" * 9999 + b'":1}']
)
def test_a_refusal_repeats_only_a_little_of_what_was_sent(body: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        batch_of_json(body, 10)
    assert len(refusal.value.detail) <= MAX_DETAIL_CHARS
    assert refusal.value.detail.isprintable()


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(ITEMS, min_size=1, max_size=8), st.sampled_from([None, 1]))
def test_any_list_is_cut_into_the_items_it_was_made_of(items: list[object], indent: int | None) -> None:
    pieces = split_items(json.dumps({"logs": items}, indent=indent).encode(), 8)

    assert pieces is not None
    assert [json.loads(piece) for piece in pieces] == items


@given(st.text(alphabet='[]{},:"\\\\ a', max_size=40))
def test_no_list_at_all_is_cut_wrongly(text: str) -> None:
    body = '{"logs":[' + text + "]}"
    try:
        expected = json.loads(body)
    except ValueError:
        expected = None
    pieces = split_items(body.encode(), 50)
    if expected is not None and list(expected) == ["logs"] and expected["logs"]:
        assert pieces is not None
        assert [json.loads(piece) for piece in pieces] == expected["logs"]
