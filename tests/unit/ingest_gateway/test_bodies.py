"""From body bytes to items: content types, compression with a cap, JSON and NDJSON with bad items among good ones."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Sequence

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.bodies import JSON, NDJSON, BatchItem, batch_of_json, batch_of_ndjson, decompress, media_type
from ingest_gateway.contract import ReceivedEvent, RejectedEventError
from threatlog.process.problems import Problem

EVENT = b'{"severity":"LOW","source":"s","message":"m"}'
MIB = 1 << 20


def problem_of(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Problem) as refusal:
        call()
    return refusal.value.status, refusal.value.code


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


def two_frames(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda body: compress(body[: len(body) // 2]) + compress(body[len(body) // 2 :])


def zstd_without_size(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(body)


COMPRESSIONS = [
    pytest.param(b"gzip", gzip.compress, id="gzip"),
    pytest.param(b"gzip", two_frames(gzip.compress), id="gzip of two members"),
    pytest.param(b"x-gzip", gzip.compress, id="gzip by its old name"),
    pytest.param(b"zstd", zstandard.compress, id="zstd"),
    pytest.param(b"zstd", two_frames(zstandard.compress), id="zstd of two frames"),
    pytest.param(b"ZSTD", zstd_without_size, id="zstd that does not say its size"),
]


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSIONS)
def test_a_compressed_body_is_the_same_body(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    body = EVENT * 30_000

    assert decompress(compress(body), encoding, 2 * MIB) == body


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSIONS)
def test_a_body_that_grows_over_the_cap_is_413_and_never_held_whole(
    encoding: bytes, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(bytes(200 * MIB))
    tracemalloc.start()
    try:
        assert problem_of(lambda: decompress(bomb, encoding, MIB)) == (413, "body_too_large")
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSIONS)
def test_a_cut_off_compressed_body_is_400(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    body = compress(EVENT * 100)

    assert problem_of(lambda: decompress(body[:-5], encoding, MIB)) == (400, "bad_compression")


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
def test_a_body_that_is_not_what_its_encoding_says_is_400(encoding: bytes) -> None:
    assert problem_of(lambda: decompress(EVENT, encoding, MIB)) == (400, "bad_compression")


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
@given(body=st.binary(min_size=1, max_size=200))
def test_arbitrary_bytes_never_raise_anything_else(encoding: bytes, body: bytes) -> None:
    prefix = {b"gzip": b"\x1f\x8b\x08", b"zstd": b"\x28\xb5\x2f\xfd"}[encoding]
    for candidate in (body, prefix + body):
        try:
            decompress(candidate, encoding, 1000)
        except Problem as problem:
            assert problem.status in (400, 413)  # noqa: PT017 - succeeding is right as well


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, zstd", b"\xff"])
def test_an_unknown_encoding_is_415(encoding: bytes) -> None:
    assert problem_of(lambda: decompress(zlib.compress(EVENT), encoding, MIB)) == (415, "unsupported_encoding")


def test_an_uncompressed_body_is_held_to_the_cap_too() -> None:
    assert problem_of(lambda: decompress(bytes(11), None, 10)) == (413, "body_too_large")
    assert decompress(bytes(10), b"identity", 10) == bytes(10)


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
