"""The live tail in the OpenAPI document, with an example of its stream."""

from __future__ import annotations

import json
from typing import Any, Final

from query_api.openapi_examples import EVENT
from query_api.tail.event_stream import CONTENT_TYPE
from query_api.tail.losses import MOST_BEHIND
from threatlog.process.problems import described_problem

EXAMPLE: Final = (
    "retry: 1000\n\n"
    "id: 0:12,1:40\nevent: position\ndata: {}\n\n"
    f"id: 0:13,1:40\nevent: log\ndata: {json.dumps(EVENT, separators=(',', ':'))}\n\n"
    'id: 0:913,1:44\nevent: skipped\ndata: {"events":904,"start_time":"2026-11-24T10:15:31.002000Z",'
    '"end_time":"2026-11-24T10:15:40.118001Z","reason":"slow_reader"}\n\n'
)
_TEXT: Final = (
    "Server-sent events, of what Kafka takes from now on, before it is stored. `log`: one event, as in a page. "
    "`position`: where the stream is; sent at once, and while nothing matches. Each `id` is the vector of Kafka's "
    "offsets behind what was sent; a client that comes back with it in `Last-Event-ID`, or as `after`, misses nothing, "
    "at whichever process. A record that a retry sent again is shown once, as far as the last 100,000 events are "
    "remembered. `skipped`: so many events of the whole topic (null: nobody knows) were not looked at, and in which "
    "range to ask for them; `reason` is `slow_reader`, `too_far_behind` (the client was more than "
    f"{MOST_BEHIND:,} records behind), `retention` (Kafka no longer has them) or `topic_made_anew`; for the last three "
    "the range is of receipts. `trouble`: why nothing comes; its `detail` is null once it comes again. `ended`: why it "
    "ends, by `code`: `stopping`, `revoked_key`, `expired_key`, `bad_key` or `keys_unknown`. Comments keep the "
    "connection alive."
)


def tail_description(narrowing: list[dict[str, Any]]) -> dict[str, Any]:
    """The operation, with the parameters that narrow every search."""
    vector = {"type": "string", "example": "0:12,1:40"}
    header = {"name": "Last-Event-ID", "in": "header", "schema": vector, "description": "the `id` to go on behind"}
    after = {"name": "after", "in": "query", "schema": vector, "description": "the same, for who cannot set a header"}
    return {
        "tags": ["events"],
        "summary": "Events as they come",
        "description": _TEXT,
        "parameters": [*narrowing, header, after],
        "responses": {
            "200": {"description": "The stream", "content": {CONTENT_TYPE: {"example": EXAMPLE}}},
            "422": described_problem("A parameter is wrong or unknown; the problem names it"),
            "429": described_problem("The key has half of the tails that this process may have, and may have no more"),
            "503": described_problem("This process has all the tails it may have (`query.max_tails`), or stops"),
        },
    }
