"""The bodies of answers about the fields of events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from query_api.aggregation_answers import field_name, value_name
from query_api.completeness import Completeness
from query_api.fields import Facets, FacetsRequest, Fields, FieldsRequest
from query_api.filter_language.values import folded

_encode: Final = msgspec.json.Encoder().encode
_ATTRIBUTES: Final = "attributes."


class FieldListed(msgspec.Struct, frozen=True):
    """A field as it is written in a filter, how many events have it, and the types of its values."""

    name: str
    events: int
    types: Sequence[str]


class FieldsAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/fields, less the lag."""

    start_time: datetime
    end_time: datetime
    fields: Sequence[FieldListed]
    distinct: int
    total: int | None
    events: int
    unread: int
    is_exact: bool
    undercount_at_most: int
    too_long: int
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None


class FacetValue(msgspec.Struct, frozen=True):
    """A value as text, and how many events have it."""

    value: str
    events: int


class FacetListed(msgspec.Struct, frozen=True):
    """The most frequent values of one field."""

    field: str
    events: int
    distinct: int
    values: Sequence[FacetValue]
    is_exact: bool
    forgotten: int
    undercount_at_most: int
    scanned_until: datetime | None


class FacetsAnswer(msgspec.Struct, frozen=True):
    """GET /api/v1/logs/facets, less the lag."""

    start_time: datetime
    end_time: datetime
    facets: Sequence[FacetListed]
    events: int
    unread: int
    is_exact: bool
    scanned_until: datetime | None
    complete_until: datetime | None
    incomplete_reason: str | None


_decode_fields: Final = msgspec.json.Decoder(FieldsAnswer).decode


def fields_body(request: FieldsRequest, found: Fields, complete: Completeness) -> bytes:
    """The JSON of all fields that were found."""
    everywhere = found.looked.events if found.total is None else found.total
    fields = [FieldListed(name, everywhere, ("string",)) for name in ("severity", "source")]
    fields += [FieldListed(field_name(name.attribute), name.events, name.types) for name in found.names]
    return _encode(
        FieldsAnswer(
            request.filter.start,
            request.filter.end,
            fields,
            len(fields),
            found.total,
            found.looked.events,
            found.looked.unread,
            found.is_exact,
            found.undercount_at_most,
            found.too_long,
            found.looked.scanned_until,
            complete.complete_until,
            complete.reason,
        )
    )


def fields_with_prefix(body: bytes, prefix: str, limit: int) -> bytes:
    """The same of those fields that begin so, also without the `attributes.` before it."""
    answer = _decode_fields(body)
    wanted = folded(prefix)
    fields = [
        field
        for field in answer.fields
        if (name := folded(field.name)).startswith(wanted) or name.removeprefix(_ATTRIBUTES).startswith(wanted)
    ]
    return _encode(msgspec.structs.replace(answer, fields=fields[:limit], distinct=len(fields)))


def facets_body(request: FacetsRequest, found: Facets, complete: Completeness) -> bytes:
    """The JSON of the values of fields."""
    facets = [
        FacetListed(
            field_name(facet.field),
            facet.events,
            facet.distinct,
            [FacetValue(value_name(value), n) for value, n in facet.values],
            facet.is_exact,
            facet.forgotten,
            facet.undercount_at_most,
            facet.scanned_until,
        )
        for facet in found.facets
    ]
    return _encode(
        FacetsAnswer(
            request.filter.start,
            request.filter.end,
            facets,
            found.looked.events,
            found.looked.unread,
            all(facet.is_exact for facet in facets),
            found.looked.scanned_until,
            complete.complete_until,
            complete.reason,
        )
    )
