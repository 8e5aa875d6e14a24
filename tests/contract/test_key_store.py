"""What every store of API keys promises, held on the one in memory and on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.fakes.memory_keys import MemoryKeys
from tests.servers import Stack
from threatlog.access.api_key import make_key
from threatlog.access.audit import AuditEntry
from threatlog.access.caller import Caller, Quota, Scope
from threatlog.access.key_table import StoredKey
from threatlog.access.postgres_keys import KeysUnavailableError, PostgresKeys, UnknownKeyError

Store = MemoryKeys | PostgresKeys
ENTRY = AuditEntry("ada@host", "key.created", "k", {"scopes": ["ingest"]})
BOUND = Caller("", "web", frozenset({Scope.INGEST}), frozenset({"web-01", "web-02"}), Quota(100.0, 5e5))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryKeys()
        return
    keys = PostgresKeys(request.getfixturevalue("stack").settings.postgres, "test")
    yield keys
    await keys.close()


def now() -> datetime:
    return datetime.now(UTC)


async def created(store: Store, caller: Caller = BOUND, expires_at: datetime | None = None) -> str:
    """The id of a new key that may do what `caller` may."""
    new = make_key(secrets.token_bytes)
    own = Caller(new.key_id, caller.name, caller.scopes, caller.sources, caller.quota)
    await store.create(own, new.secret_hash, expires_at, ENTRY)
    return new.key_id


async def stored(store: Store, key_id: str) -> StoredKey:
    return {key.caller.key_id: key for key in await store.load()}[key_id]


async def test_a_key_comes_back_with_what_it_may(store: Store) -> None:
    expires_at = now().replace(microsecond=0) + timedelta(days=1)
    new = make_key(secrets.token_bytes)
    caller = Caller(new.key_id, "web", BOUND.scopes, BOUND.sources, BOUND.quota)
    await store.create(caller, new.secret_hash, expires_at, ENTRY)
    found = await stored(store, new.key_id)
    assert (found.caller, found.secret_hash, found.expires_at) == (caller, new.secret_hash, expires_at)
    assert (found.revoked_at, found.last_used_at, found.replaced_by) == (None, None, None)
    assert found.state(now()) == "active"


async def test_a_key_for_any_source_is_told_from_one_for_some(store: Store) -> None:
    key_id = await created(store, Caller("", "all", frozenset(Scope)))
    assert (await stored(store, key_id)).caller == Caller(key_id, "all", frozenset(Scope), None, Quota())


async def test_a_revoked_key_is_revoked_once_and_for_all(store: Store) -> None:
    key_id = await created(store)
    await store.revoke(key_id, ENTRY)
    first = (await stored(store, key_id)).revoked_at
    await store.revoke(key_id, ENTRY)
    assert first is not None
    assert (await stored(store, key_id)).revoked_at == first


@pytest.mark.parametrize("ending", ["absent", "revoked", "expired"])
async def test_a_key_that_is_not_there_or_has_ended_is_not_rotated(store: Store, ending: str) -> None:
    key_id = "nobody"
    if ending == "revoked":
        key_id = await created(store)
        await store.revoke(key_id, ENTRY)
    elif ending == "expired":
        key_id = await created(store, expires_at=now() - timedelta(seconds=1))
    with pytest.raises(UnknownKeyError):
        await store.rotate(key_id, ("new", b"hash"), None, now(), ENTRY)


async def test_a_key_that_is_not_there_is_not_revoked(store: Store) -> None:
    with pytest.raises(UnknownKeyError):
        await store.revoke("nobody", ENTRY)


@pytest.mark.parametrize("own_end", [None, timedelta(minutes=5), timedelta(days=5)])
async def test_a_rotated_key_hands_on_what_it_may_and_ends_no_later_than_before(
    store: Store, own_end: timedelta | None
) -> None:
    began = now().replace(microsecond=0)
    key_id = await created(store, expires_at=None if own_end is None else began + own_end)
    ends_at = began + timedelta(hours=1)
    old = await store.rotate(key_id, ("new", b"hash"), None, ends_at, ENTRY)
    assert old.caller.key_id == key_id
    new, old_now = await stored(store, "new"), await stored(store, key_id)
    assert (new.caller.name, new.caller.scopes, new.caller.sources, new.caller.quota) == (
        old.caller.name, old.caller.scopes, old.caller.sources, old.caller.quota
    )  # fmt: skip
    assert (new.secret_hash, new.expires_at) == (b"hash", None)
    assert (old_now.replaced_by, old_now.expires_at) == ("new", min(ends_at, old.expires_at or ends_at))


async def test_a_use_is_noted_and_one_of_an_unknown_key_is_nothing(store: Store) -> None:
    key_id, at = await created(store), now()
    await store.note_used({key_id: at, "nobody": at})
    assert (await stored(store, key_id)).last_used_at == at


@pytest.mark.integration
async def test_the_audit_log_is_in_order_and_takes_no_change(stack: Stack) -> None:
    keys = PostgresKeys(stack.settings.postgres, "test")
    entries = [AuditEntry("ada@host", "a", str(n), {"n": n}) for n in range(3)]
    await keys.record(entries)
    assert [recorded.entry for recorded in await keys.audit(2)] == [entries[2], entries[1]]
    await keys.close()
    connection = await asyncpg.connect(stack.postgres_dsn)
    for statement in ("UPDATE audit_log SET actor = ''", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)
    await connection.close()


@pytest.mark.integration
async def test_trouble_with_postgresql_is_said_in_one_way_and_passes(stack: Stack) -> None:
    keys = PostgresKeys(stack.settings.postgres, "test")
    await keys.load()
    stack.servers.postgres.kill()
    with pytest.raises(KeysUnavailableError, match="PostgreSQL cannot be used"):
        await keys.load()
    stack.servers.start()
    await keys.load()
    await keys.close()
