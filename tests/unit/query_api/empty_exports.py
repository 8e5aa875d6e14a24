"""What a PostgreSQL with one export of nothing answers to the statements of exports."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ingest_gateway.contract import unix_us
from query_api.exports.export_openapi import EXPORT, REQUEST
from tests.unit.query_api.builders import NOON
from tests.unit.query_api.scripted_pool import Row

_NO_CHUNK: Row = dict.fromkeys(("number", "bytes", "rows", "ts", "event_id", "digest", "is_last"))
_FOUND: Row = {
    "id": EXPORT["id"],
    "request": json.dumps({**REQUEST, "severity": None, "q": None}),
    "status": "created",
    "reason": None,
    "created_at": NOON,
    "updated_at": NOON,
    "events_at_most": 0,
    "stored_until": json.dumps({"0": unix_us(NOON)}),
    **_NO_CHUNK,
}


async def one_empty_export(text: str) -> Sequence[Row]:
    """Every id is that of an export that was not fetched yet, and there are no events."""
    if text.startswith("SELECT e.id"):
        return [_FOUND]
    if text.startswith("SELECT e.status"):
        return [{"status": "created", **_NO_CHUNK}]
    if " AS total" in text:
        return [{"total": 0, "partitions": [0], "until_us": [unix_us(NOON)]}]
    if text.startswith("SELECT count(*) AS n"):
        return [{"n": 0, "size": 0, "last_ts": None, "last_id": None, "data": b""}]
    return [{"number": 0}] if text.startswith("WITH alive") else []
