"""A window's rows as asyncpg takes them for COPY."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def in_one_piece(payload: bytes) -> AsyncIterator[bytes]:
    """The source of a COPY. asyncpg 0.32 reads a file through a thread, a piece at a time: a window was ten hops."""
    yield payload
