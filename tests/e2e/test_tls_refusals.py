"""A client of each server turns down, or is turned down by, whatever is not as it should be, and says why."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from ingest_gateway.kafka_publisher import KafkaConnection
from ingest_gateway.publishing import PublishUnavailableError
from loadgen.kafka_login import KafkaLogin
from loadgen.kafka_sender import KafkaSender
from loadgen.outcome import TargetUnreachableError
from query_api import postgres_pools, reading, redis_reader
from query_api.kafka_consumer import KafkaUnavailableError
from query_api.kafka_lag import KafkaLog
from query_api.statement import Statement
from stream_app import migrate, redis_mirror
from stream_app.outcomes import ConfigurationFaultError, StoreUnavailableError
from stream_app.postgres_store import PostgresStore
from tests.guarded.certificates import HOST
from tests.guarded.gate import Gate
from tests.guarded.kafka import MECHANISMS
from tests.guarded.servers import Guarded
from tests.servers import Stack
from threatlog import topics
from threatlog.access.postgres_keys import KeysUnavailableError, PostgresKeys
from threatlog.process import redis_connection
from threatlog.process.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
_WITHIN_S: Final = 20.0
WRONG: Final = "open-sesame"
# Where a server ends the connection without a word, whoever writes at that moment reads a reset.
_CUT_OFF: Final = "[Cc]losed|reset by peer"
Client = Callable[[Settings], Awaitable[str | None]]


async def gateway(settings: Settings) -> str | None:
    """Why it could not connect, as its log has it; None when it could. So do all of these."""
    try:
        connection = await KafkaConnection.open(settings.kafka)
    except PublishUnavailableError as error:
        return str(error.__cause__)
    await connection.close(1.0)
    return None


async def query_lag(settings: Settings) -> str | None:
    """`threatlog lag` and the query API."""
    log = KafkaLog(settings.kafka, lambda: datetime.now(UTC))
    try:
        await log.ends()
    except KafkaUnavailableError as error:
        return str(error)
    finally:
        await log.close()
    return None


async def topic_command(settings: Settings) -> str | None:
    """`threatlog topics`, which waits a while."""
    said: list[str] = []
    code = await asyncio.to_thread(topics.run, settings, said.append, 0.7)
    return "\n".join(said) if code else None


async def loadgen(settings: Settings) -> str | None:
    """`loadgen --target kafka`."""
    kafka = settings.kafka
    login = KafkaLogin(
        kafka.security_protocol,
        kafka.sasl_mechanism,
        kafka.username,
        kafka.password.get_secret_value(),
        kafka.tls_ca,
        kafka.tls_certificate,
        kafka.tls_key,
    )
    sender = KafkaSender(kafka.bootstrap_servers, kafka.topic, 5.0, login)
    try:
        await sender.open()
    except TargetUnreachableError as error:
        return str(error)
    finally:
        await sender.close()
    return None


async def worker_store(settings: Settings) -> str | None:
    """The stream application's connections."""
    store = PostgresStore(settings.postgres, "t", "test")
    try:
        await store.fetch("SELECT 1")
    except (StoreUnavailableError, ConfigurationFaultError) as error:
        return str(error)
    finally:
        await store.close()
    return None


async def query_store(settings: Settings) -> str | None:
    """The query API's pools."""
    pools = await postgres_pools.connections(settings.postgres, 3.0)
    try:
        async with pools.queries.session() as session:
            await session.fetch(Statement("SELECT 1"))
    except reading.StoreUnavailableError as error:
        return str(error)
    finally:
        await pools.close(1.0)
    return None


async def keys(settings: Settings) -> str | None:
    """Each process that needs API keys, and `threatlog keys`."""
    store = PostgresKeys(settings.postgres, "test")
    try:
        await store.load()
    except KeysUnavailableError as error:
        return str(error)
    finally:
        await store.close()
    return None


async def migration(settings: Settings) -> str | None:
    """`threatlog migrate`."""
    said = io.StringIO()

    def run() -> int:
        with contextlib.redirect_stdout(said):
            return migrate.run(settings.postgres, 0.0)

    return said.getvalue() if await asyncio.to_thread(run) else None


def _redis(connect: Callable[[Any], Any], name: str) -> Client:
    async def ping(settings: Settings) -> str | None:
        client = connect(settings.redis)
        try:
            async with asyncio.timeout(2.0):
                await client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            return redis_connection.reason(error)
        finally:
            await client.aclose()
        return None

    ping.__name__ = name
    return ping


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and what each client says of it. With `shown` the servers show another certificate."""

    changes: dict[str, Any]
    words: dict[str, str]
    shown: str = ""


KAFKA: Final[tuple[Client, ...]] = (gateway, query_lag, topic_command, loadgen)
ASYNCPG: Final[tuple[Client, ...]] = (worker_store, query_store, keys)
POSTGRES: Final[tuple[Client, ...]] = (*ASYNCPG, migration)
REDIS: Final[tuple[Client, ...]] = (_redis(redis_mirror.connect, "mirror"), _redis(redis_reader.connect, "reader"))
_SERVERS: Final = ("kafka", "postgres", "redis")
_EVERYWHERE: Final = (*_SERVERS, "libpq")
FAULTS: Final = {
    "expired": Fault(
        {}, dict.fromkeys(_EVERYWHERE, "certificate has expired") | {"libpq": "certificate verify failed"}, "expired"
    ),
    "wrong host": Fault(
        {},
        dict.fromkeys(_EVERYWHERE, f"certificate is not valid for '{HOST}'") | {"libpq": "does not match host name"},
        "elsewhere",
    ),
    "unknown authority": Fault({}, dict.fromkeys(_EVERYWHERE, "certificate verify failed"), "strange"),
    "plain client": Fault(
        {
            "kafka": {"security_protocol": "SASL_PLAINTEXT", "tls_ca": "", "tls_certificate": "", "tls_key": ""},
            "postgres": {"tls": "disable"},
            "redis": {"tls": False},
        },
        {"kafka": _CUT_OFF, "postgres": "no encryption", "libpq": "no encryption", "redis": _CUT_OFF},
    ),
    "no client certificate": Fault(
        {server: {"tls_certificate": "", "tls_key": ""} for server in _SERVERS},
        dict.fromkeys(_SERVERS, _CUT_OFF) | {"libpq": f"SSL (SYSCALL )?error|{_CUT_OFF}"},
    ),
    "wrong password": Fault(
        {server: {"password": SecretStr(WRONG)} for server in _SERVERS},
        {
            "kafka": "invalid credentials",
            "postgres": "password authentication failed",
            "libpq": "password authentication failed",
            "redis": "invalid username-password pair",
        },
    ),
}


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with these of some sections."""
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update=sections)


@contextlib.contextmanager
def shown_by(guarded: Guarded, name: str) -> Iterator[dict[str, Any]]:
    """The addresses at which the servers show the certificate of this name; none where it is empty."""
    if not name:
        yield {}
        return
    context = guarded.certificates.server_context(getattr(guarded.certificates, name))
    servers = guarded.servers
    with (
        Gate(servers.kafka.port, context) as kafka,
        Gate(servers.postgres.port, context, postgres=True) as postgres,
        Gate(servers.redis.port, context) as redis,
    ):
        yield {
            "kafka": {"bootstrap_servers": f"{HOST}:{kafka.port}"},
            "postgres": {"port": postgres.port},
            "redis": {"port": redis.port},
        }
        assert not postgres.plain_attempts, "fell back to plain"


async def told(client: Client, settings: Settings) -> str:
    """What a client says that must not get in."""
    async with asyncio.timeout(_WITHIN_S):
        said = await client(settings)
    assert said is not None, f"{client} was let in"
    return said


@pytest.mark.parametrize("name", FAULTS)
async def test_every_client_is_refused_and_says_why(guarded_stack: Stack, guarded: Guarded, name: str) -> None:
    fault = FAULTS[name]
    with shown_by(guarded, fault.shown) as addresses:
        settings = changed(changed(guarded_stack.settings, addresses), fault.changes)
        for clients, server in ((KAFKA, "kafka"), (ASYNCPG, "postgres"), ((migration,), "libpq"), (REDIS, "redis")):
            for client in clients:
                said = await told(client, settings)
                assert re.search(fault.words[server], said), f"{client} said {said}"
                assert WRONG not in said


async def test_a_client_that_wants_tls_never_goes_on_without(guarded_stack: Stack, guarded: Guarded) -> None:
    servers = guarded.servers
    plain = {
        "kafka": {"bootstrap_servers": f"{HOST}:{servers.kafka.port}"},
        "postgres": {"port": servers.postgres.port},
        "redis": {"port": servers.redis.port},
    }
    settings = changed(guarded_stack.settings, plain)
    for client in KAFKA:
        await told(client, settings)
    for client in ASYNCPG:
        assert "rejected SSL upgrade" in await told(client, settings)
    assert "does not support SSL" in await told(migration, settings)
    for client in REDIS:
        await told(client, settings)


async def test_require_encrypts_and_asks_nobody_who_they_are(guarded_stack: Stack, guarded: Guarded) -> None:
    with shown_by(guarded, "strange") as addresses:
        settings = changed(guarded_stack.settings, addresses)
        settings = changed(settings, {"postgres": {"tls": "require", "tls_ca": ""}})
        for client in POSTGRES:
            assert await client(settings) is None
    without = changed(settings, {"postgres": {"port": guarded.servers.postgres.port}})
    for client in POSTGRES:
        await told(client, without)


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_each_way_to_prove_the_password_lets_every_client_in(guarded_stack: Stack, mechanism: str) -> None:
    settings = changed(guarded_stack.settings, {"kafka": {"sasl_mechanism": mechanism}})
    for client in KAFKA:
        assert await client(settings) is None


async def test_the_settings_let_every_client_in(guarded_stack: Stack) -> None:
    for client in (*KAFKA, *POSTGRES, *REDIS):
        assert await client(guarded_stack.settings) is None
