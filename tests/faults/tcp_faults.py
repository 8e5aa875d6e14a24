"""What can be wrong with a TCP connection, as values; tcp_proxy.py does it.

The kinds and names are those of toxiproxy (https://github.com/Shopify/toxiproxy#toxics), and one more, `DropReply`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Direction(Enum):
    """Which bytes a fault is about."""

    UP = "from the client to the server"
    DOWN = "from the server to the client"


@dataclass(frozen=True, slots=True)
class Latency:
    """Every piece comes later, by `delay_s` and up to `jitter_s` more."""

    delay_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """No more than this many bytes a second pass on a connection."""

    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class BlackHole:
    """What comes is taken and goes nowhere; the connection stays open."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection ends with RST instead of passing a piece on."""


@dataclass(frozen=True, slots=True)
class Slicer:
    """Pieces are cut into such small ones, with a pause after each."""

    size_bytes: int
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitData:
    """After so many bytes the connection ends in good order."""

    max_bytes: int


@dataclass(frozen=True, slots=True)
class SlowClose:
    """The end of one side is told to the other only after a while."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class DropReply:
    """A request with these bytes reaches the server; when its answer comes the connection is reset instead.

    The server has done the work, and the client cannot know. Belongs to the direction UP.
    """

    request: bytes


Fault = Latency | Bandwidth | BlackHole | Reset | Slicer | LimitData | SlowClose | DropReply


@dataclass(frozen=True, slots=True)
class Applied:
    """A fault, where it strikes, and how often: for each piece with this probability."""

    fault: Fault
    direction: Direction = Direction.DOWN
    probability: float = 1.0
