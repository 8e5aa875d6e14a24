"""What every store of producers' figures promises, held on the one in memory and on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from ingest_gateway.accounts_report import FiguresStore
from ingest_gateway.postgres_figures import FiguresUnavailableError, PostgresFigures
from tests.fakes.memory_figures import MemoryFigures
from tests.servers import Stack
from threatlog.access.api_key import make_key
from threatlog.access.audit import AuditEntry
from threatlog.access.caller import Caller, Scope
from threatlog.access.postgres_keys import PostgresKeys


@dataclass(frozen=True, slots=True)
class Gateways:
    """Two gateways' views of the same figures, and the id of a key."""

    one: FiguresStore
    other: FiguresStore
    key_id: str


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def gateways(request: pytest.FixtureRequest) -> AsyncIterator[Gateways]:
    if request.param == "memory":
        rows: dict[tuple[str, str], Any] = {}
        yield Gateways(MemoryFigures("a:1", rows), MemoryFigures("b:1", rows), "k")
        return
    stack: Stack = request.getfixturevalue("stack")
    postgres = stack.postgres_of("gateway")
    keys, new = PostgresKeys(stack.settings.postgres, "test"), make_key(secrets.token_bytes)
    caller = Caller(new.key_id, "web", frozenset({Scope.INGEST}))
    await keys.create(caller, new.secret_hash, None, AuditEntry("ada", "key.created", new.key_id))
    one, other = PostgresFigures(postgres, "a:1"), PostgresFigures(postgres, "b:1")
    yield Gateways(one, other, new.key_id)
    for store in (keys, one, other):
        await store.close()


async def test_a_gateway_goes_on_from_what_it_wrote_last_and_sees_the_others(gateways: Gateways) -> None:
    key = gateways.key_id
    await gateways.one.write({key: {"accepted": 1}})
    await gateways.one.write({key: {"accepted": 3, "rejected.bad_id": 1}})
    await gateways.other.write({key: {"accepted": 10}})
    assert await gateways.one.own() == {key: {"accepted": 3, "rejected.bad_id": 1}}
    assert await gateways.one.of_key(key) == ([{"accepted": 10}], 0)
    assert await gateways.other.of_key(key) == ([{"accepted": 3, "rejected.bad_id": 1}], 0)
    assert await gateways.one.of_key("nobody") == ([], 0)


@pytest.mark.integration
async def test_duplicates_are_those_that_the_stream_application_counted(stack: Stack) -> None:
    keys, new = PostgresKeys(stack.settings.postgres, "test"), make_key(secrets.token_bytes)
    caller = Caller(new.key_id, "web", frozenset({Scope.INGEST}))
    await keys.create(caller, new.secret_hash, None, AuditEntry("ada", "key.created", new.key_id))
    await keys.close()
    connection = await asyncpg.connect(stack.postgres_dsn)
    await connection.execute("INSERT INTO producer_duplicates VALUES ($1, 7)", new.key_id)
    await connection.close()
    figures = PostgresFigures(stack.postgres_of("gateway"), "a:1")
    assert await figures.of_key(new.key_id) == ([], 7)
    await figures.close()


@pytest.mark.integration
async def test_trouble_with_postgresql_is_said_in_one_way_and_passes(stack: Stack) -> None:
    figures = PostgresFigures(stack.postgres_of("gateway"), "a:1")
    assert await figures.own() == {}
    stack.servers.postgres.kill()
    with pytest.raises(FiguresUnavailableError):
        await figures.own()
    stack.servers.start()
    assert await figures.own() == {}
    await figures.close()
