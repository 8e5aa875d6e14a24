"""Real Kafka, PostgreSQL and Redis for the suite, and an isolated topic, database and key space for each test."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from threatlog.embedded import KafkaNode, KafkaServer, PostgresServer, RedisServer
from threatlog.embedded.errors import ServerError
from threatlog.embedded.ports import LOOPBACK, free_port
from threatlog.process.load_settings import load_settings
from threatlog.process.postgres_roles import LOGINS
from threatlog.process.server_settings import Postgres
from threatlog.process.settings import Settings

REDIS_DATABASES = 64
READY_TIMEOUT_S = 60.0
_MIGRATE_TIMEOUT_S = 60.0
_DROP_TIMEOUT_S = 30.0
_TEMPLATE = "threatlog_template"

Result = TypeVar("Result")


class RealServer(Protocol):
    """What a test may do to a server; embedded ones and containers both offer it."""

    name: str
    port: int

    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def wait_ready(self, timeout_s: float) -> None: ...
    def stop(self, timeout_s: float = 10.0) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Servers:
    """The three servers. They are shared by all tests of a run: what a test breaks, it mends."""

    kafka: RealServer
    postgres: RealServer
    redis: RealServer
    discard: Callable[[], None] = lambda: None  # Called after the last stop.

    @property
    def all(self) -> tuple[RealServer, RealServer, RealServer]:
        """The slowest to start first."""
        return self.kafka, self.postgres, self.redis

    def start(self) -> None:
        """Starts all, or those that do not run, and returns when each answers."""
        for server in self.all:
            if server.running:
                server.thaw()
            else:
                server.start()
        for server in self.all:
            server.wait_ready(READY_TIMEOUT_S)

    def end(self) -> None:
        """Stops all for good."""
        for server in reversed(self.all):
            server.stop()
        self.discard()


@dataclass(frozen=True, slots=True)
class Stack:
    """A test's own topic, database, Redis database and key prefix on the shared servers.

    `environment` makes a child process use them; `settings` is the same as a value.
    """

    name: str
    servers: Servers
    settings: Settings
    environment: Mapping[str, str]

    @property
    def postgres_dsn(self) -> str:
        """For asyncpg.connect."""
        postgres = self.settings.postgres
        return f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{postgres.database}"

    def postgres_of(self, service: str) -> Postgres:
        """The settings of PostgreSQL with the login of `gateway`, `stream` or `query`; `settings` has the owner's."""
        return self.settings.postgres.model_copy(update={"user": LOGINS[service][0]})

    @property
    def redis_url(self) -> str:
        """For redis.asyncio.from_url."""
        redis = self.settings.redis
        return f"redis://{redis.host}:{redis.port}/{redis.database}"

    def with_environment(self, **variables: str) -> dict[str, str]:
        """The environment of a child process with further variables."""
        return {**self.environment, **variables}


def embedded_servers(folder: Path, *, durable: bool = True) -> Servers:
    """Embedded servers on free ports with their data under `folder`; not started yet."""
    rng = random.Random()
    ports: list[int] = []
    while len(ports) < 4:
        ports.append(free_port(rng, avoid=ports))
    return Servers(
        KafkaServer(folder / "kafka", KafkaNode(ports[0], ports[1])),
        PostgresServer(folder / "postgres", ports[2], durable=durable),
        RedisServer(folder / "redis", ports[3], databases=REDIS_DATABASES),
    )


def started_on_free_ports(make: Callable[[], Servers], attempts: int = 3) -> Servers:
    """The servers that `make` makes, started.

    Between the choice of a port and its use another test process may take it: then others are chosen.
    Raises ServerError.
    """
    while True:
        servers = make()
        try:
            servers.start()
        except ServerError as error:
            servers.end()
            attempts -= 1
            taken = "already in use" in str(error) or "is taken by another program" in str(error)
            if not attempts or not taken:
                raise
        except BaseException:
            servers.end()
            raise
        else:
            return servers


class StackMaker:
    """Makes isolated stacks on running servers, and removes them."""

    def __init__(self, servers: Servers, run: str) -> None:
        self._servers = servers
        self._run = run
        self._numbers = itertools.count(1)
        self._template_made = False

    @property
    def servers(self) -> Servers:
        """Those that its stacks are on."""
        return self._servers

    def on(self, servers: Servers) -> StackMaker:
        """One for other servers."""
        return StackMaker(servers, f"{self._run}on{servers.kafka.port}and{servers.postgres.port}")

    def make(self, partitions: int, variables: Mapping[str, str], *, with_database: bool = True) -> Stack:
        """A stack with an empty topic of `partitions` partitions and an empty, migrated database.

        The database takes most of the time: who needs none says so.
        """
        number = next(self._numbers)
        name = f"t{self._run}_{number}"
        environment = self._environment(name, partitions, number % REDIS_DATABASES, variables)
        settings = load_settings({**environment, "THREATLOG_CONFIG": os.devnull})
        if with_database and not self._template_made:
            self._make_template(environment)
            self._template_made = True
        run_now(self._make_parts(settings, with_database=with_database))
        return Stack(name, self._servers, settings, environment)

    def remove(self, stack: Stack) -> None:
        """Drops the database and the topic, after mending the servers."""
        self._servers.start()
        run_now(self._drop_parts(stack.settings))

    def _environment(
        self, name: str, partitions: int, redis_database: int, variables: Mapping[str, str]
    ) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("THREATLOG_")}
        return {
            **inherited,
            "THREATLOG_CONFIG": os.devnull,
            "THREATLOG_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self._servers.kafka.port}",
            "THREATLOG_KAFKA_TOPIC": f"{name}.events",
            "THREATLOG_KAFKA_CONSUMER_GROUP": f"{name}-stream",
            "THREATLOG_KAFKA_PARTITIONS": str(partitions),
            "THREATLOG_POSTGRES_HOST": LOOPBACK,
            "THREATLOG_POSTGRES_PORT": str(self._servers.postgres.port),
            "THREATLOG_POSTGRES_DATABASE": name,
            "THREATLOG_REDIS_HOST": LOOPBACK,
            "THREATLOG_REDIS_PORT": str(self._servers.redis.port),
            "THREATLOG_REDIS_DATABASE": str(redis_database),
            "THREATLOG_REDIS_KEY_PREFIX": f"{name}:",
            **variables,
        }

    def _make_template(self, environment: Mapping[str, str]) -> None:
        run_now(self._on_postgres(f"DROP DATABASE IF EXISTS {_TEMPLATE}", f"CREATE DATABASE {_TEMPLATE}"))
        migrated = subprocess.run(
            [sys.executable, "-m", "threatlog", "migrate"],
            env={**environment, "THREATLOG_POSTGRES_DATABASE": _TEMPLATE},
            capture_output=True,
            text=True,
            timeout=_MIGRATE_TIMEOUT_S,
            check=False,
        )
        if migrated.returncode != 0:
            raise RuntimeError(f"threatlog migrate ended with {migrated.returncode}:\n{migrated.stderr}")
        run_now(self._make_logins())

    async def _make_logins(self) -> None:
        """Embedded servers have them; in containers the owner may make them."""
        for login, group in LOGINS.values():
            make = f"CREATE ROLE {login} LOGIN IN ROLE {group}"
            await self._on_postgres(f"DO $$ BEGIN IF to_regrole('{login}') IS NULL THEN {make}; END IF; END $$")

    async def _make_parts(self, settings: Settings, *, with_database: bool) -> None:
        if with_database:
            await self._on_postgres(f"CREATE DATABASE {settings.postgres.database} TEMPLATE {_TEMPLATE}")
        topic = NewTopic(
            settings.kafka.topic,
            settings.kafka.partitions,
            settings.kafka.replication_factor,
            topic_configs={"message.timestamp.type": "LogAppendTime"},
        )
        answer = await self._on_kafka(settings, lambda admin: admin.create_topics([topic], timeout_ms=20_000))
        faults = [error for error in answer.topic_errors if error[1] != 0]  # type: ignore[attr-defined]
        if faults:
            raise RuntimeError(f"topic {settings.kafka.topic} was not created: {faults}")
        await self._flush_redis(settings)

    async def _drop_parts(self, settings: Settings) -> None:
        deadline = time.monotonic() + _DROP_TIMEOUT_S
        while True:
            try:
                await self._on_postgres(f"DROP DATABASE IF EXISTS {settings.postgres.database} WITH (FORCE)")
                break
            except asyncpg.InsufficientPrivilegeError:
                # Autovacuum is in it, which only a superuser may end; it ends by itself.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
        await self._on_kafka(settings, lambda admin: admin.delete_topics([settings.kafka.topic], timeout_ms=20_000))

    async def _on_postgres(self, *statements: str) -> None:
        connection = await asyncpg.connect(
            host=LOOPBACK, port=self._servers.postgres.port, user="threatlog", database="threatlog", timeout=10
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def _on_kafka(
        self, settings: Settings, do: Callable[[AIOKafkaAdminClient], Coroutine[object, object, object]]
    ) -> object:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            return await do(admin)
        finally:
            await admin.close()

    async def _flush_redis(self, settings: Settings) -> None:
        reader, writer = await asyncio.open_connection(settings.redis.host, settings.redis.port)
        writer.write(f"SELECT {settings.redis.database}\r\nFLUSHDB\r\n".encode())
        for _ in range(2):
            answer = await asyncio.wait_for(reader.readline(), 10)
            if answer != b"+OK\r\n":
                raise RuntimeError(f"redis answered {answer!r}")
        writer.close()
        await writer.wait_closed()


def run_now(coroutine: Coroutine[object, object, Result]) -> Result:
    """Runs a coroutine to its end, also from inside a running event loop: in a thread with a loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
