"""What is asked of the fields of events, as query strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from query_api.aggregation import TopField
from query_api.fields import (
    DEFAULT_FACET_VALUES,
    DEFAULT_FIELDS,
    MOST_FACET_VALUES,
    MOST_FACETS,
    MOST_FIELDS,
    FacetsRequest,
    FieldsRequest,
)
from query_api.filter_language.parse import MAX_CHARS
from query_api.parameters import STATS_PARAMETERS, read_count, read_field, read_filter, read_query, refuse

FIELDS_PARAMETERS: Final = (*STATS_PARAMETERS, "prefix", "limit")
FACETS_PARAMETERS: Final = (*STATS_PARAMETERS, "fields", "values")
# Commas in quotes are part of a key.
_NAME: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class FieldsQuestion:
    """The fields whose names begin with `prefix`, in capitals or not, at most `limit` of them."""

    request: FieldsRequest
    prefix: str
    limit: int


def read_fields_question(query: bytes) -> FieldsQuestion:
    """The fields that are asked for. Raises Problem."""
    values = read_query(query, FIELDS_PARAMETERS)
    prefix = values.get("prefix", "")
    if len(prefix) > MAX_CHARS:
        raise refuse("prefix", f"at most {MAX_CHARS} characters", prefix)
    limit = read_count(values, "limit", DEFAULT_FIELDS, 1, MOST_FIELDS)
    return FieldsQuestion(FieldsRequest(read_filter(values)), prefix, limit)


def read_facets_request(query: bytes) -> FacetsRequest:
    """The values of fields that are asked for. Raises Problem."""
    values = read_query(query, FACETS_PARAMETERS)
    most = read_count(values, "values", DEFAULT_FACET_VALUES, 1, MOST_FACET_VALUES)
    return FacetsRequest(read_filter(values), _fields(values), most)


def _fields(values: Mapping[str, str]) -> tuple[TopField, ...]:
    text = values.get("fields")
    if text is None:
        return ()
    names = _NAME.findall(text)
    if not names or ",".join(names) != text or len(names) > MOST_FACETS:
        raise refuse("fields", f"1 to {MOST_FACETS} names of fields, with commas between them", text)
    return tuple(dict.fromkeys(read_field(name, "fields") for name in names))
