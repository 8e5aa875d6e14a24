"""Writes Parquet with pyarrow, whose only import this is, from columns as PostgreSQL packed them.

pyarrow's own conversion of Python values takes several microseconds a row; here its arrays are laid over the bytes of
a column at once. Layouts: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_gateway.contract import SEVERITIES
from query_api.exports.chunks import Found
from query_api.exports.files import GZIP_LEVEL, ZSTD_LEVEL
from query_api.exports.request import Compression

# Its own allocator keeps what was freed for later, which a process that seldom needs it does not want.
pa.set_memory_pool(pa.system_memory_pool())
_TIME: Final = pa.timestamp("us", tz="UTC")
_SEVERITY: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.uuid(), nullable=False),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("severity", _SEVERITY, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("ingested_at", _TIME, nullable=False),
        pa.field("attributes", pa.string()),
    ]
)
# With their levels, as for text: gzip at its own takes ten times as long.
_CODECS: Final[dict[Compression, tuple[str, int | None]]] = {
    "none": ("NONE", None),
    "gzip": ("GZIP", GZIP_LEVEL),
    "zstd": ("ZSTD", ZSTD_LEVEL),
}


class _Sink:
    """A file that is taken away as it is written."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = b"".join(self._written)
        self._written.clear()
        return data


class ParquetWriter:
    """One row group for each piece that has events."""

    def __init__(self, compression: Compression) -> None:
        self._sink = _Sink()
        codec, level = _CODECS[compression]
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            SCHEMA,
            compression=codec,
            compression_level=level,
            use_dictionary=["severity"],
        )

    def content(self, found: Found, *, is_first: bool) -> Sequence[bytes]:  # noqa: ARG002 - the interface's name
        """The columns one behind the other: the bytes in the file also depend on what was written before."""
        return [value for row in found.slices for value in row.values() if isinstance(value, bytes)]

    def encoded(self, content: Sequence[bytes], found: Found) -> bytes:  # noqa: ARG002 - the interface's name
        """The row group."""
        if found.rows:
            batches = [_batch(row) for row in found.slices if row["n"]]
            self._writer.write_table(pa.Table.from_batches(batches, SCHEMA), row_group_size=found.rows)
        return self._sink.taken()

    def end(self) -> bytes:
        """The footer, which says where everything is."""
        self._writer.close()
        return self._sink.taken()


def _batch(row: Mapping[str, Any]) -> pa.RecordBatch:
    n: int = row["n"]
    identifiers = pa.Array.from_buffers(pa.binary(16), n, [None, pa.py_buffer(row["id"])])
    codes = pa.Array.from_buffers(pa.int32(), n, [None, pa.py_buffer(_numbers("i", row["severity"]))])
    return pa.RecordBatch.from_arrays(
        [
            pa.ExtensionArray.from_storage(pa.uuid(), identifiers),
            _times(n, row["timestamp"]),
            pa.DictionaryArray.from_arrays(codes, pa.array(SEVERITIES, pa.string())),
            _texts(n, row["source_bytes"], row["source"]),
            _texts(n, row["message_bytes"], row["message"]),
            _times(n, row["ingested_at"]),
            _texts(n, row["attributes_bytes"], row["attributes"], _bitmap(row["has_attributes"])),
        ],
        schema=SCHEMA,
    )


def _numbers(code: str, packed: bytes) -> array[int]:
    """Numbers in network order, in ours."""
    numbers = array(code, packed)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _times(n: int, packed: bytes) -> pa.Array:
    return pa.Array.from_buffers(_TIME, n, [None, pa.py_buffer(_numbers("q", packed))])


def _texts(n: int, sizes: bytes, data: bytes, present: pa.Buffer | None = None) -> pa.Array:
    offsets = array("i", accumulate(_numbers("i", sizes), initial=0))
    return pa.Array.from_buffers(pa.string(), n, [present, pa.py_buffer(offsets), pa.py_buffer(data)])


def _bitmap(digits: bytes) -> pa.Buffer:
    """A bit for each digit 0 or 1, the first one lowest. Without pyarrow.compute, which takes 11 MiB."""
    return pa.py_buffer(int(digits[::-1], 2).to_bytes(-(-len(digits) // 8), "little"))
