"""Keeps `process_metrics` small: processes that are long silent are added up in one row of their role."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import orjson

from stream_app import statements as sql
from stream_app.contract import STORED_PER_SECOND, Counters, combined

log = logging.getLogger(__name__)
# One worker at a time folds; the number only has to be our own.
_ADVISORY_LOCK: Final = 0x7468_7265_6176


class Sessions(Protocol):
    """What is needed of the store. Raises StoreUnavailableError."""

    def session(self) -> AbstractAsyncContextManager[Any]: ...


class SilentProcesses:
    """A process of an hour's silence is taken for dead; if it was only asleep, nothing of it is counted twice."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def fold(self) -> None:
        """Adds the silent rows to their role's and removes them, in one transaction. Raises StoreUnavailableError.

        What a removed row held is kept: a process that wakes up makes its row anew with counters that go on from there,
        and readers, and the next fold, take that much off.
        """
        async with self._sessions.session() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _ADVISORY_LOCK):
                return
            silent = await connection.fetch(sql.SILENT_PROCESSES, STORED_PER_SECOND)
            for role in sorted({row["role"] for row in silent}):
                kept = await connection.fetchval(sql.ROLE_COUNTERS, role)
                total = added_to(_read(kept), (row for row in silent if row["role"] == role))
                await connection.execute(sql.WRITE_ROLE, role, orjson.dumps(total).decode())
            if silent:
                await connection.execute(sql.REMOVE_SILENT, [row["process"] for row in silent], STORED_PER_SECOND)
                log.info("added up the figures of processes that are gone", extra={"processes": len(silent)})
            await connection.execute(sql.FORGET_FOLDED)


def added_to(total: Counters, silent: Iterable[Mapping[str, Any]]) -> Counters:
    """The role's counters with what these rows hold beyond what was folded of them before."""
    for row in silent:
        total = combined(total, combined(_read(row["counters"]), _read(row["folded"]), sign=-1))
    return total


def _read(counters: str | None) -> Counters:
    found: Counters = orjson.loads(counters) if counters else {}
    return found
