"""A record's headers as a dead letter keeps them: their bytes need not be text, and a name may come twice."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import orjson

from stream_app.chunks import Record


def headers_json(record: Record) -> str | None:
    """[[name, value in base64, or null]] in the record's order; None without headers."""
    # Only aiokafka's own records have them.
    headers: Sequence[tuple[str, bytes | None]] = getattr(record, "headers", ())
    if not headers:
        return None
    pairs = [(name, None if value is None else b64encode(value).decode()) for name, value in headers]
    return orjson.dumps(pairs).decode()
