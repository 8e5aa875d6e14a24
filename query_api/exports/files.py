"""Puts what PostgreSQL gave into a file: text as lines, plain or compressed, each piece by itself."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import zstandard

from query_api.exports.chunks import Found
from query_api.exports.request import Compression, ExportRequest
from query_api.exports.slice_sql import CSV_HEADER

# gzip at 6 takes three times as long for a tenth less; compression must not be what an export waits for.
GZIP_LEVEL: Final = 1
ZSTD_LEVEL: Final = 3


class FileWriter(Protocol):
    """Makes a file's bytes, piece by piece. Called in a thread: none of it may touch the event loop."""

    def content(self, found: Found, *, is_first: bool) -> Sequence[bytes]:
        """What a piece's digest is of: the same for the same events, however they were read."""
        ...

    def encoded(self, content: Sequence[bytes], found: Found) -> bytes:
        """The bytes of a piece in the file."""
        ...

    def end(self) -> bytes:
        """What comes after the last piece."""
        ...


def _gzip(text: bytes) -> bytes:
    return gzip.compress(text, GZIP_LEVEL, mtime=0)


def _zstd(text: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(text)


_COMPRESSED: Final[dict[Compression, Callable[[bytes], bytes]]] = {"none": bytes, "gzip": _gzip, "zstd": _zstd}


class TextWriter:
    """NDJSON and CSV. Each piece is a gzip member or a zstd frame: one behind the other they are one file."""

    def __init__(self, request: ExportRequest) -> None:
        self._begins_with = CSV_HEADER if request.format == "csv" else b""
        self._compress = _COMPRESSED[request.compression]

    def content(self, found: Found, *, is_first: bool) -> Sequence[bytes]:
        """The compressed text; nothing for a piece without events, but for the first: an empty file is one too."""
        parts = [row["data"] for row in found.slices]
        if is_first and self._begins_with:
            parts.insert(0, self._begins_with)
        text = parts[0] if len(parts) == 1 else b"".join(parts)
        return (self._compress(text),) if text or is_first else ()

    def encoded(self, content: Sequence[bytes], found: Found) -> bytes:  # noqa: ARG002 - the interface's name
        """It is the content."""
        return content[0] if content else b""

    def end(self) -> bytes:
        """Nothing: who reads to the end has all."""
        return b""


def writer_for(request: ExportRequest) -> FileWriter:
    """The writer of one answer."""
    if request.format == "parquet":
        # Some 40 MiB of libraries, for those who ask for it.
        from query_api.exports.parquet_file import ParquetWriter

        return ParquetWriter(request.compression)
    return TextWriter(request)
