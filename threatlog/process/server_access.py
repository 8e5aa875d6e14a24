"""Whether the servers are reached as the settings mean it: contradictions, unusable files, passwords in the clear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from threatlog.process import kafka_connection, postgres_connection
from threatlog.process.addresses import is_loopback
from threatlog.process.server_settings import Kafka, Postgres, Redis
from threatlog.process.tls import TlsFileError, context_of

if TYPE_CHECKING:
    from threatlog.process.settings import Settings

_FILES: Final = ("tls_ca", "tls_certificate", "tls_key")


def access_faults(settings: Settings) -> list[str]:
    """What no setting shows by itself, a line for each; files that TLS needs are read."""
    kafka, postgres, redis = settings.kafka, settings.postgres, settings.redis
    return [
        *_kafka_faults(kafka),
        *_file_faults(
            "kafka", kafka, "kafka.security_protocol", kafka.security_protocol, kafka_connection.uses_tls(kafka)
        ),
        *_postgres_faults(postgres),
        *_file_faults("postgres", postgres, "postgres.tls", postgres.tls, postgres_connection.uses_tls(postgres)),
        *_redis_faults(redis),
        *_file_faults("redis", redis, "redis.tls", str(redis.tls).lower(), redis.tls),
    ]


def _kafka_faults(kafka: Kafka) -> Iterator[str]:
    given = bool(kafka.username), bool(kafka.password.get_secret_value())
    if kafka_connection.uses_sasl(kafka):
        if not all(given):
            yield f"kafka.security_protocol is {kafka.security_protocol}; it needs kafka.username and kafka.password"
    elif any(given):
        yield (
            f"kafka.security_protocol is {kafka.security_protocol}, which sends no user and password; "
            "set SASL_SSL, or leave kafka.username and kafka.password empty"
        )


def _postgres_faults(postgres: Postgres) -> Iterator[str]:
    if postgres.tls == "require" and postgres.tls_ca:
        yield "postgres.tls is require, which checks no certificate; set verify-full, or leave postgres.tls_ca empty"


def _redis_faults(redis: Redis) -> Iterator[str]:
    if redis.username and not redis.password.get_secret_value():
        yield "redis.username is set; it needs redis.password"


def _file_faults(
    section: str, server: Kafka | Postgres | Redis, mode: str, value: str, encrypted: bool
) -> Iterator[str]:
    named = [name for name in _FILES if getattr(server, name)]
    if named and not encrypted:
        # Whoever names a certificate believes the connection to be safe.
        yield f"{section}.{named[0]} is set, but {mode} is {value}, which encrypts nothing"
    elif server.tls_key and not server.tls_certificate:
        yield f"{section}.tls_key is set; it needs {section}.tls_certificate"
    elif encrypted:
        try:
            context_of(server)
        except TlsFileError as error:
            variable = f"THREATLOG_{section}_{error.setting}".upper()
            path = getattr(server, error.setting)
            yield f"{section}.{error.setting} (or {variable}) is {path!r}; it {error}"


def exposures(*servers: Kafka | Postgres | Redis) -> list[str]:
    """How passwords leave this machine unprotected, a line for each of these servers where one does."""
    return [line for server in servers if (line := _exposure(server)) is not None]


def _exposure(server: Kafka | Postgres | Redis) -> str | None:
    if not server.password.get_secret_value():
        return None
    if isinstance(server, Kafka):
        # SCRAM proves the password without sending it.
        if server.security_protocol == "SASL_PLAINTEXT" and server.sasl_mechanism == "PLAIN":
            hosts = [address.strip().rpartition(":")[0] for address in server.bootstrap_servers.split(",")]
            return _to_others("Kafka", hosts, "goes in clear; set kafka.security_protocol to SASL_SSL")
        return None
    if isinstance(server, Redis):
        return None if server.tls else _to_others("Redis", [server.host], "goes in clear; set redis.tls to true")
    if server.tls == "verify-full" or server.host.startswith("/"):
        return None
    how = "goes to whoever answers" if server.tls == "require" else "goes in clear where the server asks for it so"
    return _to_others("PostgreSQL", [server.host], f"{how}; set postgres.tls to verify-full")


def _to_others(name: str, hosts: list[str], what: str) -> str | None:
    away = next((host for host in hosts if not is_loopback(host.strip("[]"))), None)
    return None if away is None else f"the password for {name} at {away} {what}"
