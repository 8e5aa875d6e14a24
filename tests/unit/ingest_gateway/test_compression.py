"""Compressed bodies: the same bytes again, with a cap on bytes, memory and members."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.compression import MAX_COMPRESSED_PARTS, decompress
from tests.unit.ingest_gateway.request_bodies import EVENT, MIB, problem_of
from threatlog.process.problems import Problem


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


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"zstd", zstandard.compress)])
def test_so_many_members_are_taken_and_one_more_is_400(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    most = compress(EVENT) * MAX_COMPRESSED_PARTS

    assert decompress(most, encoding, MIB) == EVENT * MAX_COMPRESSED_PARTS
    with pytest.raises(Problem, match=f"over {MAX_COMPRESSED_PARTS} (members|frames)") as refusal:
        decompress(most + compress(EVENT), encoding, MIB)
    assert (refusal.value.status, refusal.value.code) == (400, "bad_compression")


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"zstd", zstandard.compress)])
def test_what_follows_a_member_is_not_copied_for_each(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    body = compress(b"") * 500 + compress(bytes(range(256)) * 40_000) + bytes(8 * MIB)
    tracemalloc.start()
    try:
        assert problem_of(lambda: decompress(body, encoding, 64 * MIB)) == (400, "bad_compression")
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()
