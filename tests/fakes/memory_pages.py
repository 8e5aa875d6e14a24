"""Page stores in memory: one that keeps, one that is away."""

from __future__ import annotations

from collections.abc import Callable


class MemoryPages:
    """A PageStore over a dictionary, with a clock for what expires."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.kept: dict[str, tuple[bytes, float]] = {}

    async def get(self, key: str) -> bytes | None:
        """What was kept and has not expired."""
        value, until_s = self.kept.get(key, (None, 0.0))
        return value if self._now_s() < until_s else None

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps it."""
        self.kept[key] = value, self._now_s() + ttl_s


class NoPages:
    """A PageStore that is away."""

    async def get(self, key: str) -> bytes | None:  # noqa: ARG002 - the interface's name
        """Nothing."""
        return None

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps nothing."""
