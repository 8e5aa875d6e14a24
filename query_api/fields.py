"""Which fields events have, and the most frequent values of several of them: what is asked, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from query_api.aggregation import TopField
from query_api.attribute_names import AttributeName
from query_api.positions import StoredUntil
from query_api.search import SearchFilter

DEFAULT_FIELDS: Final = 200
MOST_FIELDS: Final = 1_000
DEFAULT_FACET_VALUES: Final = 10
MOST_FACET_VALUES: Final = 100
MOST_FACETS: Final = 32
# Attributes whose values are given where no fields are named: those that most of the newest events have.
USUAL_ATTRIBUTES: Final = 10


@dataclass(frozen=True, slots=True)
class FieldsRequest:
    """The fields of these events."""

    filter: SearchFilter


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at to find something.

    `events` are those of the filter, `unread` those of them whose attributes are too large to be looked into, or no
    JSON that can be read. Where looking took as long as it may, they are the events from `scanned_until` on.
    """

    events: int
    unread: int
    is_whole: bool
    scanned_until: datetime | None


@dataclass(frozen=True, slots=True)
class Fields:
    """The attributes that events have, those of most events first.

    `total` are all events of the filter, None where only looking at all of them would say it. Of names that are
    forgotten since there were too many, each is one of `undercount_at_most` events; of longer ones than can be asked
    for there were `too_long`.
    """

    names: Sequence[AttributeName]
    total: int | None
    looked: Looked
    stored_until_us: StoredUntil
    undercount_at_most: int = 0
    too_long: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether every field is there, with all its events among those that were looked at."""
        return not self.undercount_at_most and not self.too_long and not self.looked.unread and self.looked.is_whole


@dataclass(frozen=True, slots=True)
class FacetsRequest:
    """The values of these fields that most events have; of the usual ones where there are none."""

    filter: SearchFilter
    fields: tuple[TopField, ...] = ()
    values: int = DEFAULT_FACET_VALUES


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of one field (a severity by its code), those of most events first.

    `events` have the field. `distinct` values were met; where not all are kept, that is a lower bound, `forgotten`
    values are in no count, and a count is too low by `undercount_at_most` at most. All of the events from
    `scanned_until` on.
    """

    field: TopField
    events: int
    distinct: int
    values: Sequence[tuple[int | str, int]]
    is_exact: bool = True
    forgotten: int = 0
    undercount_at_most: int = 0
    scanned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facets:
    """The fields that were asked for, in their order; of the usual ones severity and source first."""

    facets: Sequence[Facet]
    looked: Looked
    stored_until_us: StoredUntil
