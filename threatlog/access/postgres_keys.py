"""API keys and the audit log in PostgreSQL. The only asyncpg import of this package, with the errors in our words.

Seen with asyncpg 0.32: no time-out unless told, and a connection whose command timed out waits for the server, so after
any trouble it is terminated and made anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from threatlog.access.audit import AuditEntry, RecordedEntry
from threatlog.access.caller import Caller, Quota, Scope
from threatlog.access.key_table import StoredKey
from threatlog.process.postgres_connection import connect_keywords

if TYPE_CHECKING:
    from threatlog.process.server_settings import Postgres

_COMMAND_TIMEOUT_S: Final = 5.0
_TROUBLE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_COLUMNS: Final = """id, name, secret_hash, scopes, sources, events_per_s, bytes_per_s,
    created_at, expires_at, revoked_at, last_used_at, replaced_by"""
_LOAD: Final = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, id"  # noqa: S608 - a constant
_INSERT: Final = """
    INSERT INTO api_keys (id, name, secret_hash, scopes, sources, events_per_s, bytes_per_s, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_REVOKE: Final = """
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 RETURNING id"""
_LOCK: Final = f"SELECT {_COLUMNS} FROM api_keys WHERE id = $1 FOR UPDATE"  # noqa: S608 - a constant
_REPLACE: Final = """
    UPDATE api_keys SET expires_at = least(expires_at, $2), replaced_by = $3 WHERE id = $1"""
_USED: Final = """
    UPDATE api_keys SET last_used_at = greatest(last_used_at, used.at)
    FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at) WHERE api_keys.id = used.id"""
_RECORD: Final = "INSERT INTO audit_log (actor, action, target, detail) VALUES ($1, $2, $3, $4)"
_AUDIT: Final = "SELECT at, actor, action, target, detail FROM audit_log ORDER BY id DESC LIMIT $1"


class KeysUnavailableError(Exception):
    """PostgreSQL cannot be asked now; the text says why."""


class UnknownKeyError(Exception):
    """There is no such key, or it is in no state for what was asked; the text says which."""


class PostgresKeys:
    """One connection, opened when it is needed and opened anew after any trouble."""

    def __init__(self, settings: Postgres, application: str) -> None:
        self._settings = settings
        self._application = application
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()

    async def load(self) -> tuple[StoredKey, ...]:
        """Every key there ever was, the oldest first. Raises KeysUnavailableError, as all methods do."""
        async with self._session() as connection:
            return tuple(_stored_key(row) for row in await connection.fetch(_LOAD))

    async def create(self, caller: Caller, secret_hash: bytes, expires_at: datetime | None, entry: AuditEntry) -> None:
        """Adds a key, and the entry with it."""
        async with self._session() as connection, connection.transaction():
            await _insert(connection, caller, secret_hash, expires_at)
            await _record(connection, [entry])

    async def revoke(self, key_id: str, entry: AuditEntry) -> None:
        """Ends a key from now on; one that is revoked stays as it is. Raises UnknownKeyError."""
        async with self._session() as connection, connection.transaction():
            if await connection.fetchrow(_REVOKE, key_id) is None:
                raise UnknownKeyError(f"there is no key {key_id}; `threatlog keys list` shows all")
            await _record(connection, [entry])

    async def rotate(
        self, key_id: str, new: tuple[str, bytes], expires_at: datetime | None, old_ends_at: datetime, entry: AuditEntry
    ) -> StoredKey:
        """Adds a key, `new` being its id and hash, that may do what `key_id` may, which ends at `old_ends_at`.

        Returns the old one as it was. Raises UnknownKeyError, also for a key that has ended.
        """
        async with self._session() as connection, connection.transaction():
            row = await connection.fetchrow(_LOCK, key_id)
            if row is None:
                raise UnknownKeyError(f"there is no key {key_id}; `threatlog keys list` shows all")
            old = _stored_key(row)
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
            if (state := old.state(now)) != "active":
                raise UnknownKeyError(f"the key {key_id} is {state}; make a new one with `threatlog keys create`")
            new_id, secret_hash = new
            caller = Caller(new_id, old.caller.name, old.caller.scopes, old.caller.sources, old.caller.quota)
            await _insert(connection, caller, secret_hash, expires_at)
            await connection.execute(_REPLACE, key_id, old_ends_at, new_id)
            await _record(connection, [entry])
        return old

    async def note_used(self, last_used: Mapping[str, datetime]) -> None:
        """When each of these keys was last used."""
        async with self._session() as connection:
            await connection.execute(_USED, list(last_used), list(last_used.values()))

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Adds entries to the audit log."""
        async with self._session() as connection, connection.transaction():
            await _record(connection, entries)

    async def audit(self, limit: int) -> list[RecordedEntry]:
        """The newest entries, the newest first."""
        async with self._session() as connection:
            rows = await connection.fetch(_AUDIT, limit)
        return [
            RecordedEntry(row["at"], AuditEntry(row["actor"], row["action"], row["target"], json.loads(row["detail"])))
            for row in rows
        ]

    async def close(self) -> None:
        """At once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(
                        **connect_keywords(self._settings),
                        command_timeout=_COMMAND_TIMEOUT_S,
                        server_settings={"TimeZone": "UTC", "application_name": self._application},
                    )
                yield self._connection
            except _TROUBLE as error:
                await self.close()
                if isinstance(error, asyncpg.UndefinedTableError):
                    raise KeysUnavailableError("PostgreSQL has no tables yet; `threatlog migrate` makes them") from None
                raise KeysUnavailableError(f"PostgreSQL cannot be used: {type(error).__name__}: {error}") from error
            except asyncio.CancelledError:
                await self.close()
                raise


async def _insert(
    connection: asyncpg.Connection[asyncpg.Record], caller: Caller, secret_hash: bytes, expires_at: datetime | None
) -> None:
    await connection.execute(
        _INSERT,
        caller.key_id,
        caller.name,
        secret_hash,
        sorted(caller.scopes),
        None if caller.sources is None else sorted(caller.sources),
        caller.quota.events_per_s,
        caller.quota.bytes_per_s,
        expires_at,
    )


async def _record(connection: asyncpg.Connection[asyncpg.Record], entries: Sequence[AuditEntry]) -> None:
    rows = [(entry.actor, entry.action, entry.target, json.dumps(dict(entry.detail))) for entry in entries]
    await connection.executemany(_RECORD, rows)


def _stored_key(row: asyncpg.Record) -> StoredKey:
    return StoredKey(
        Caller(
            row["id"],
            row["name"],
            frozenset(Scope(name) for name in row["scopes"]),
            None if row["sources"] is None else frozenset(row["sources"]),
            Quota(row["events_per_s"], row["bytes_per_s"]),
        ),
        row["secret_hash"],
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
        row["last_used_at"],
        row["replaced_by"],
    )
