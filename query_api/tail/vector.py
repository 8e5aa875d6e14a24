"""A vector of Kafka offsets as text: where each partition is read next, such as `0:12,1:40`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

Vector = Mapping[int, int]

# Kafka's partitions are int32, of which a topic here has at most 1,024; offsets are int64.
_ENTRY: Final = r"[0-9]{1,5}:[0-9]{1,18}"
_VECTOR: Final = re.compile(f"{_ENTRY}(?:,{_ENTRY})*")
EXPECTED: Final = "the id of an event of a tail: partition:offset with commas between them, such as 0:12,1:40"


class BadVectorError(ValueError):
    """This is no vector of offsets. The text says why."""


def written(vector: Vector) -> str:
    """The text, by partition."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(vector.items()))


def parsed(text: str) -> dict[int, int]:
    """What `written` made. Raises BadVectorError."""
    if not _VECTOR.fullmatch(text):
        raise BadVectorError(f"it is not {EXPECTED}")
    found: dict[int, int] = {}
    for entry in text.split(","):
        partition, _, offset = entry.partition(":")
        if int(partition) in found:
            raise BadVectorError(f"it has partition {int(partition)} twice")
        found[int(partition)] = int(offset)
    return found
