"""Receipts in the OpenAPI document, with an example."""

from __future__ import annotations

from typing import Any, Final

from query_api.openapi_examples import EVENT
from threatlog.process.problems import described_problem

_PLACE: Final = {name: EVENT[name] for name in ("id", "timestamp", "ingested_at")}
EXAMPLE: Final = {
    "status": "stored",
    "detail": "the event is stored as this record has it",
    "known_by": "logs",
    "partition": 0,
    "offset": 6770180,
    "event": _PLACE,
    "duplicate_of": None,
    "dead_letter": None,
    "lost": None,
    "complete_until": "2026-11-24T11:00:01.940000Z",
    "incomplete_reason": None,
    "lag": {"events": 12, "as_of": "2026-11-24T11:00:02.120000Z", "stale": False},
}
_TEXT: Final = (
    "By the `receipt` of the gateway's answer, or by the id of the event. `queued`: it waits in Kafka. `stored`. "
    "`duplicate`: an event with the same time and id was stored first, and `duplicate_of` says when that was accepted. "
    "`dead_lettered`: it is no event, and `dead_letter` says why. `lost`: Kafka deleted it before it was stored. "
    "`unknown`: `detail` says what is known. `known_by` names the table, or Kafka, that the answer comes from. Which "
    "of several records with the same time and id was stored is seen by receipt and content: two records that are the "
    "same in both are both called stored. By id alone the answer is about the event, not about one of its records."
)


def receipts_description() -> dict[str, Any]:
    """The operation."""
    number, moment = {"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}
    described = {
        "partition": (number, "of the record, with `offset`"),
        "offset": (
            number,
            "of the record; of an event in a batch, the first offset of its receipt plus its place",
        ),
        "id": ({"type": "string", "format": "uuid"}, "of the event, instead of both"),
        "timestamp": (moment, "the event's exact time, with an `id` that does not hold it"),
    }
    return {
        "tags": ["events"],
        "summary": "What became of a record",
        "description": _TEXT,
        "parameters": [
            {"name": name, "in": "query", "schema": schema, "description": text}
            for name, (schema, text) in described.items()
        ],
        "responses": {
            "200": {"description": "The verdict", "content": {"application/json": {"example": EXAMPLE}}},
            "422": described_problem("A parameter is missing, wrong or unknown; the problem names it"),
            "503": described_problem("PostgreSQL cannot be used now, or is busy; Retry-After says when to try again"),
            "504": described_problem("The query took longer than `query.statement_timeout`"),
        },
    }
