"""All three servers behind TLS, a client's certificate and a password; beside each the plain way of the tests."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from redis import Redis

from tests.guarded import kafka
from tests.guarded.certificates import HOST, Certificates
from tests.guarded.gate import Gate
from tests.servers import RealServer, Servers
from threatlog.embedded.kafka_server import KafkaServer
from threatlog.embedded.ports import free_port
from threatlog.embedded.postgres_server import PostgresServer

READY_TIMEOUT_S = 60.0
USER = "guarded"
PASSWORD = "postgres-or-redis-pass-72"
_HBA = f"host all {USER} {HOST}/32 scram-sha-256\nhost all all {HOST}/32 trust\n"


class _PasswordPostgres(PostgresServer):
    """Lets `guarded` in with its password only; the tests' own user as it is."""

    def prepare(self) -> None:
        super().prepare()
        (self._data / "pg_hba.conf").write_text(_HBA, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Guarded:
    """The servers, and where they want TLS. `servers` is how the tests make topics and databases."""

    servers: Servers
    certificates: Certificates
    kafka_port: int
    postgres: Gate
    redis: Gate

    def variables(self) -> dict[str, str]:
        """The settings with which every client is let in."""
        client = self.certificates.client
        files = {"CA": self.certificates.ca, "CERTIFICATE": client.certificate, "KEY": client.key}
        return {
            "THREATLOG_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.kafka_port}",
            "THREATLOG_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "THREATLOG_KAFKA_USERNAME": kafka.USER,
            "THREATLOG_KAFKA_PASSWORD": kafka.PASSWORD,
            "THREATLOG_POSTGRES_PORT": str(self.postgres.port),
            "THREATLOG_POSTGRES_TLS": "verify-full",
            "THREATLOG_POSTGRES_USER": USER,
            "THREATLOG_POSTGRES_PASSWORD": PASSWORD,
            "THREATLOG_REDIS_PORT": str(self.redis.port),
            "THREATLOG_REDIS_TLS": "true",
            "THREATLOG_REDIS_USERNAME": USER,
            "THREATLOG_REDIS_PASSWORD": PASSWORD,
            # Eight of ten go to the handshake on a machine that is busy with other tests.
            "THREATLOG_REDIS_TIMEOUT": "1s",
            **{
                f"THREATLOG_{server}_TLS_{name}": str(path)
                for server in ("KAFKA", "POSTGRES", "REDIS")
                for name, path in files.items()
            },
        }


@contextlib.contextmanager
def guarded_servers(folder: Path, redis: RealServer) -> Iterator[Guarded]:
    """Starts a Kafka and a PostgreSQL of their own; Redis is that of the run, with a user more."""
    certificates = Certificates(folder)
    ports: list[int] = []
    while len(ports) < 4:
        ports.append(free_port(random.Random(), avoid=ports))
    node = kafka.guarded_node(certificates, folder, (ports[0], ports[1], ports[2]))
    own = KafkaServer(folder / "kafka", node), _PasswordPostgres(folder / "postgres", ports[3], durable=False)
    context = certificates.server_context(certificates.server)
    try:
        for server in own:
            server.start()
        for server in own:
            server.wait_ready(READY_TIMEOUT_S)
        asyncio.run(_add_postgres_user(own[1].port))
        with (
            _redis_user(redis.port),
            Gate(own[1].port, context, postgres=True) as postgres_gate,
            Gate(redis.port, context) as redis_gate,
        ):
            servers = Servers(own[0], own[1], redis)
            yield Guarded(servers, certificates, node.guarded_port, postgres_gate, redis_gate)
    finally:
        for server in own:
            server.stop()


async def _add_postgres_user(port: int) -> None:
    connection = await asyncpg.connect(host=HOST, port=port, user="postgres", database="postgres")
    try:
        # A member of the owner's role may do what the owner may.
        await connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}' IN ROLE threatlog")
    finally:
        await connection.close()


@contextlib.contextmanager
def _redis_user(port: int) -> Iterator[None]:
    with Redis(host=HOST, port=port) as client:
        client.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all"])
        yield
        client.acl_deluser(USER)
