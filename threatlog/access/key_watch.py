"""Keeps one process's copy of the API keys current, and tells PostgreSQL which were used and what failed.

Each process asks PostgreSQL itself, each second, so that a revoked key ends everywhere within five, with Redis or
without. While PostgreSQL is away the last known keys go on being good: senders must get rid of their events then too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from threatlog.access.audit import AuditEntry
from threatlog.access.caller import Caller
from threatlog.access.failures import Failures
from threatlog.access.key_table import KeyRefusedError, KeyTable, StoredKey
from threatlog.access.postgres_keys import KeysUnavailableError

REFRESH_INTERVAL_S: Final = 1.0
# Uses and failures are written this often at most.
NOTE_INTERVAL_S: Final = 10.0
log = logging.getLogger(__name__)


class KeyStore(Protocol):
    """Where the keys are. Every method raises KeysUnavailableError."""

    async def load(self) -> Sequence[StoredKey]: ...
    async def note_used(self, last_used: Mapping[str, datetime]) -> None: ...
    async def record(self, entries: Sequence[AuditEntry]) -> None: ...


class KeysUnknownError(Exception):
    """Who may be let in is not known: never was yet, or too long ago. The text says which."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time of day, aware, and seconds that only go forward."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]


class KeyWatch:
    """The keys of one process. `max_stale_s`: how long they may be used without having been looked at.

    `notes` is a connection of its own, so that what is written never holds up what is read.
    """

    def __init__(self, store: KeyStore, notes: KeyStore, service: str, max_stale_s: float, clocks: Clocks) -> None:
        self.failures = Failures(clocks.monotonic)
        self._store = store
        self._notes = notes
        self._service = service
        self._max_stale_s = max_stale_s
        self._clocks = clocks
        self._table = KeyTable()
        self._loaded_at_s: float | None = None
        self._used: dict[str, datetime] = {}

    def caller(self, presented: str) -> Caller:
        """Whose key this is. Raises KeyRefusedError, KeysUnknownError."""
        self.check_known()
        now = self._clocks.now()
        caller = self._table.caller(presented, now)
        self._used[caller.key_id] = now
        return caller

    def why_no_longer(self, caller: Caller) -> tuple[str, str] | None:
        """Code and words where somebody who was let in would not be now; None where they would."""
        try:
            self.check_known()
            self._table.of_id(caller.key_id, self._clocks.now())
        except KeyRefusedError as error:
            return error.code, str(error)
        except KeysUnknownError as error:
            return "keys_unknown", str(error)
        return None

    def check_known(self) -> None:
        """Raises KeysUnknownError where no key can be judged."""
        if self._loaded_at_s is None:
            raise KeysUnknownError("the API keys have not been read from PostgreSQL yet")
        age_s = self._clocks.monotonic() - self._loaded_at_s
        if age_s > self._max_stale_s:
            raise KeysUnknownError(f"PostgreSQL, which has the API keys, has been away for {age_s:.0f} s")

    @property
    def has_active_key(self) -> bool:
        """Whether anybody at all can be let in."""
        return self._table.has_active(self._clocks.now())

    async def refresh(self) -> bool:
        """Reads the keys anew; False, with the last ones kept, when PostgreSQL cannot be asked."""
        try:
            keys = await self._store.load()
        except KeysUnavailableError as error:
            log.warning("the API keys cannot be read; those known go on", extra={"why": str(error)})
            return False
        self._table = KeyTable(keys)
        self._loaded_at_s = self._clocks.monotonic()
        return True

    async def note(self) -> None:
        """Writes which keys were used, and what failed."""
        used, self._used = self._used, {}
        entries = self.failures.take_entries(self._service)
        try:
            if used:
                await self._notes.note_used(used)
            if entries:
                await self._notes.record(entries)
        except KeysUnavailableError as error:
            self._used = {**used, **self._used}
            self.failures.put_back(entries)
            log.warning("uses of API keys cannot be noted; they are later", extra={"why": str(error)})

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        await asyncio.gather(self._refresh_for_ever(), self._note_for_ever())

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            await self.refresh()

    async def _note_for_ever(self) -> None:
        while True:
            await asyncio.sleep(NOTE_INTERVAL_S)
            await self.note()
