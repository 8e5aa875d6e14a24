"""What a receipt is asked for by: the place of a record in Kafka, or the id of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from query_api.parameters import CODE, read_count, read_event_id, read_moment, read_query, refuse
from threatlog.process.problems import Problem

PARAMETERS: Final = ("partition", "offset", "id", "timestamp")
_MOST_PARTITION: Final = 99_999
_MOST_OFFSET: Final = 10**18 - 1


@dataclass(frozen=True, slots=True)
class AtPlace:
    """Partition and offset, as the gateway answered them."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class OfEvent:
    """The event's id, and its exact time where that is known."""

    id: UUID
    ts: datetime | None


def read_receipt_request(query: bytes) -> AtPlace | OfEvent:
    """The one that a query string asks for. Raises Problem."""
    values = read_query(query, PARAMETERS)
    if "id" in values:
        for name in ("partition", "offset"):
            if name in values:
                raise refuse(name, "nothing together with id", values[name])
        return OfEvent(read_event_id(values["id"]), read_moment(values, "timestamp") if "timestamp" in values else None)
    if "timestamp" in values:
        raise refuse("timestamp", "an event's exact time, together with its id", values["timestamp"])
    if not {"partition", "offset"} & values.keys():
        detail = "partition and offset of the record are needed, as the gateway answered them, or the id of the event"
        raise Problem(422, CODE, detail, extra={"parameter": "partition"})
    return AtPlace(_number(values, "partition", _MOST_PARTITION), _number(values, "offset", _MOST_OFFSET))


def _number(values: Mapping[str, str], name: str, most: int) -> int:
    if name not in values:
        raise refuse(name, f"a whole number from 0 to {most}")
    return read_count(values, name, 0, 0, most)
