"""API keys in memory, for unit tests; tests/contract/test_key_store.py holds them to PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from threatlog.access.audit import AuditEntry
from threatlog.access.caller import Caller
from threatlog.access.key_table import StoredKey
from threatlog.access.postgres_keys import KeysUnavailableError, UnknownKeyError

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryKeys:
    """A KeyStore that can be away."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now
        self.keys: dict[str, StoredKey] = {}
        self.entries: list[AuditEntry] = []
        self.away = False

    async def load(self) -> Sequence[StoredKey]:
        self._check()
        return tuple(self.keys.values())

    async def create(self, caller: Caller, secret_hash: bytes, expires_at: datetime | None, entry: AuditEntry) -> None:
        self._check()
        self.keys[caller.key_id] = StoredKey(caller, secret_hash, LONG_AGO, expires_at)
        self.entries.append(entry)

    async def revoke(self, key_id: str, entry: AuditEntry) -> None:
        self._check()
        key = self.keys.get(key_id)
        if key is None:
            raise UnknownKeyError(key_id)
        self.keys[key_id] = replace(key, revoked_at=key.revoked_at or self._now())
        self.entries.append(entry)

    async def rotate(
        self, key_id: str, new: tuple[str, bytes], expires_at: datetime | None, old_ends_at: datetime, entry: AuditEntry
    ) -> StoredKey:
        self._check()
        old = self.keys.get(key_id)
        if old is None or old.state(self._now()) != "active":
            raise UnknownKeyError(key_id)
        self.keys[new[0]] = StoredKey(replace(old.caller, key_id=new[0]), new[1], LONG_AGO, expires_at)
        ends_at = min(old_ends_at, old.expires_at or old_ends_at)
        self.keys[key_id] = replace(old, expires_at=ends_at, replaced_by=new[0])
        self.entries.append(entry)
        return old

    async def note_used(self, last_used: Mapping[str, datetime]) -> None:
        self._check()
        for key_id, at in last_used.items():
            if key_id in self.keys:
                self.keys[key_id] = replace(self.keys[key_id], last_used_at=at)

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        self._check()
        self.entries += entries

    def _check(self) -> None:
        if self.away:
            raise KeysUnavailableError("PostgreSQL cannot be used: it is away")

    def _now(self) -> datetime:
        return self.now or datetime.now(UTC)
