"""Whose events were stored already: repeated rows by the API key that the gateway wrote into their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ingest_gateway.contract import PRODUCER_HEADER
from stream_app.prepare import Row


def repeated_by_producer(rows: Iterable[Row]) -> tuple[list[str], list[int]]:
    """Ids of keys, and how many of these rows each sent. A record without the header counts for nobody."""
    found: Counter[str] = Counter()
    for row in rows:
        # Only aiokafka's own records have them.
        headers: Sequence[tuple[str, bytes | None]] = getattr(row.record, "headers", ())
        for name, value in headers:
            if name == PRODUCER_HEADER and value:
                found[value.decode("ascii", "replace")] += 1
    return list(found), list(found.values())
