"""A process's keys over a store in memory, under a clock that tests move."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from tests.fakes.memory_keys import MemoryKeys
from threatlog.access.api_key import CHECKSUM_CHARS, checksum, make_key
from threatlog.access.audit import AuditEntry
from threatlog.access.caller import Caller, Scope
from threatlog.access.key_watch import Clocks, KeyWatch

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MAX_STALE_S = 3600.0


class KeyBench:
    """`watch` as a process has it; `passed_s` moves both of its clocks."""

    def __init__(self) -> None:
        self.store = MemoryKeys(START)
        self.passed_s = 0.0
        self.watch = KeyWatch(self.store, self.store, "gateway", MAX_STALE_S, Clocks(self.now, lambda: self.passed_s))

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    async def key(
        self,
        scopes: Iterable[Scope] = (Scope.INGEST,),
        sources: frozenset[str] | None = None,
        good_s: float | None = None,
    ) -> str:
        """The text of a new key, which the process knows."""
        new = make_key(secrets.token_bytes)
        caller = Caller(new.key_id, "web", frozenset(scopes), sources)
        expires_at = None if good_s is None else self.now() + timedelta(seconds=good_s)
        await self.store.create(caller, new.secret_hash, expires_at, AuditEntry("ada", "key.created", new.key_id))
        await self.watch.refresh()
        return new.text

    async def revoke(self, text: str) -> None:
        """Ends a key; the process knows."""
        await self.store.revoke(id_of(text), AuditEntry("ada", "key.revoked", id_of(text)))
        await self.watch.refresh()


def id_of(text: str) -> str:
    """The id within a key's text."""
    return text.split("_")[1]


def with_other_secret(text: str) -> str:
    """A well-formed key with the same id."""
    prefix, key_id, _ = text.split("_")
    secret = make_key(secrets.token_bytes).text.split("_")[2][:-CHECKSUM_CHARS]
    return f"{prefix}_{key_id}_{secret}{checksum(key_id, secret)}"
