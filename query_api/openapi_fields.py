"""What the OpenAPI description says of the fields of events."""

from __future__ import annotations

from typing import Any, Final

from query_api.attribute_names import MOST_NAME_CHARS, MOST_NAMES, TYPES
from query_api.attribute_rows import MOST_BYTES
from query_api.bounded_counts import MOST_VALUE_CHARS
from query_api.fields import (
    DEFAULT_FACET_VALUES,
    DEFAULT_FIELDS,
    MOST_FACET_VALUES,
    MOST_FACETS,
    MOST_FIELDS,
    USUAL_ATTRIBUTES,
)

FIELDS_TEXT: Final = (
    "Each `name` is written as a filter takes it; as many events as it says are those of `name:*`. `types` are "
    f"{', '.join(TYPES)}; of a list those of its elements are among them, and objects in it are named by the first: "
    "`answers.0.name`. Objects that only hold others are left out. Attributes are looked at event by event, newest "
    "first, for at most `query.search_budget`: where `scanned_until` is not null, the counts of attributes are of the "
    "`events` from there on. Severity and source are of all events where counts say how many there are: `total`. "
    f"`is_exact` is false where more than about {MOST_NAMES:,} names were met, the rarest of which are forgotten (each "
    f"count may be too low by at most `undercount_at_most`), names of more than {MOST_NAME_CHARS:,} characters "
    f"(`too_long` times), or attributes of more than {MOST_BYTES // 1024} KiB, which are not looked into (`unread` "
    "events)."
)
FACETS_TEXT: Final = (
    "Of each field the values that most events have, as text; of a list its elements, each once for an event. Severity "
    "and source are from counts where the filter allows, and exact. All else is looked at event by event, newest "
    "first, for at most `query.search_budget`: a `scanned_until` says that it is of the events from there on. "
    "`is_exact`, `forgotten`, `undercount_at_most` and `distinct` are as in `/api/v1/logs/top`; values of more than "
    f"{MOST_VALUE_CHARS:,} characters are forgotten, and `unread` events have attributes of more than "
    f"{MOST_BYTES // 1024} KiB, which are not looked into."
)


def fields_asked() -> list[dict[str, Any]]:
    """The parameters of `/fields` besides range and filter."""
    return [
        _parameter(
            "prefix",
            {"type": "string", "example": "client"},
            "how names begin, in capitals or not, with `attributes.` or without; all are searched once, so the next "
            "prefix costs nothing while the answer is kept",
        ),
        _parameter("limit", _integer(MOST_FIELDS, DEFAULT_FIELDS), "most fields in the answer"),
    ]


def facets_asked() -> list[dict[str, Any]]:
    """The parameters of `/facets` besides range and filter."""
    usual = f"without it severity, source and the {USUAL_ATTRIBUTES} attributes that most of the newest events have"
    return [
        _parameter(
            "fields",
            {"type": "string", "example": "severity,attributes.client_ip"},
            f"at most {MOST_FACETS} names of fields, with commas between them; {usual}",
        ),
        _parameter("values", _integer(MOST_FACET_VALUES, DEFAULT_FACET_VALUES), "most values of each field"),
    ]


def _integer(most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
