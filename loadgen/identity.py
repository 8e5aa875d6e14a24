"""The ids of one run's events: UUIDv7s (RFC 9562) from which the run and the event's number can be read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

_MASK_48: Final = (1 << 48) - 1
# Multiplying by an odd number modulo 2^48 is a bijection: the numbers look random in an index and can be undone.
_SCATTER: Final = 0x9E3779B97F4B
_GATHER: Final = pow(_SCATTER, -1, 1 << 48)
_TAG_BITS: Final = 26


def scattered(number: int) -> int:
    """The low 48 bits of the id of event `number`."""
    return number * _SCATTER & _MASK_48


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Names one run: its 26-bit tag stands in each of its ids and, in hexadecimal, in the names of its own sources.

    Layout of an id: 48 bits Unix milliseconds, version 7, 12 bits of the tag, variant 10, 14 bits of the tag, 48 bits
    of the event's scattered number.
    """

    tag: int

    def __post_init__(self) -> None:
        if not 0 <= self.tag < 1 << _TAG_BITS:
            raise ValueError(f"a run's tag has {_TAG_BITS} bits, not {self.tag}")

    @property
    def name(self) -> str:
        return f"{self.tag:07x}"

    def id_head(self, unix_ms: int) -> str:
        """The first 24 characters of every id of that millisecond; 12 hexadecimal digits of `scattered` follow."""
        high, low = unix_ms >> 16, unix_ms & 0xFFFF
        return f"{high:08x}-{low:04x}-{0x7000 | self.tag >> 14:04x}-{0x8000 | self.tag & 0x3FFF:04x}-"

    def event_id(self, unix_ms: int, number: int) -> str:
        """The id of event `number` of this run, which happened at `unix_ms`."""
        return f"{self.id_head(unix_ms)}{scattered(number):012x}"

    def number_of(self, identifier: UUID) -> int | None:
        """The number of the event with this id; None when the id is not of this run."""
        bits = identifier.int
        tag = (bits >> 64 & 0xFFF) << 14 | bits >> 48 & 0x3FFF
        if tag != self.tag or bits >> 76 & 0xF != 7 or bits >> 62 & 3 != 2:
            return None
        return (bits & _MASK_48) * _GATHER & _MASK_48
