"""Undoes the Content-Encoding of a request's body within a bound of bytes, memory and time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import zstandard

from threatlog.process.problems import Problem

ENCODINGS: Final = ("identity", "gzip", "zstd")
# A body may be several gzip members or zstd frames one after the other; each costs a new decoder.
MAX_COMPRESSED_PARTS: Final = 1000
_STEP_BYTES: Final = 256 * 1024
# So much of a gzip body is handed over at a time: zlib copies what it has not used at the end of each step.
_GZIP_INPUT_BYTES: Final = 16 * 1024
# Four bytes of zstd can mean a block of 128 KiB, so one step of input makes at most 4 MiB.
_ZSTD_INPUT_BYTES: Final = 128
# A zstd frame may ask its reader for gigabytes of window; 8 MiB is what RFC 9659 lets a sender use over HTTP.
_MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024


class _BadCompressionError(Exception):
    """The body is not what its encoding says; the text ends a sentence."""


def decompress(body: bytes, encoding: bytes | None, max_bytes: int) -> bytes:
    """The body without its Content-Encoding, never more than `max_bytes` of it. Raises Problem 400, 413 or 415."""
    name = encoding.decode("latin-1").strip().lower() if encoding else "identity"
    if name == "identity":
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    if name in ("gzip", "x-gzip"):
        pieces = _gunzip(memoryview(body))
    elif name == "zstd":
        pieces = _unzstd(memoryview(body))
    else:
        raise Problem(415, "unsupported_encoding", f"content encoding {name!r} is not one of {', '.join(ENCODINGS)}")
    result = bytearray()
    try:
        for piece in pieces:
            if len(result) + len(piece) > max_bytes:
                raise _too_large(max_bytes)
            result += piece
    except (zlib.error, zstandard.ZstdError, _BadCompressionError) as error:
        raise Problem(400, "bad_compression", f"the body is not valid {name}: {error}") from None
    return bytes(result)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"the body has over {max_bytes} bytes after decompression, the most allowed")


def _gunzip(body: memoryview) -> Iterator[bytes]:
    position = 0
    for _ in range(MAX_COMPRESSED_PARTS):
        # 31: a gzip member with its header and checksum.
        member = zlib.decompressobj(31)
        while not member.eof:
            given = rest = body[position : position + _GZIP_INPUT_BYTES]
            if not given:
                raise _BadCompressionError("it ends in the middle")
            while rest and not member.eof:
                yield member.decompress(rest, _STEP_BYTES)
                rest = memoryview(member.unconsumed_tail)
            position += len(given) - len(member.unused_data)
        if position == len(body):
            return
    raise _BadCompressionError(f"it has over {MAX_COMPRESSED_PARTS} members, the most allowed")


def _unzstd(body: memoryview) -> Iterator[bytes]:
    if bytes(body[:4]) not in (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"):
        raise _BadCompressionError("no zstd frame begins it")
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    position = 0
    for _ in range(MAX_COMPRESSED_PARTS):
        frame = decompressor.decompressobj()
        while not frame.eof:
            given = body[position : position + _ZSTD_INPUT_BYTES]
            if not given:
                raise _BadCompressionError("it ends in the middle")
            yield frame.decompress(given)
            position += len(given) - len(frame.unused_data)
        if position == len(body):
            return
    raise _BadCompressionError(f"it has over {MAX_COMPRESSED_PARTS} frames, the most allowed")
