"""The settings of the three servers: how to reach them, and the shape of the topic."""

from __future__ import annotations

from pydantic import Field, SecretStr

from threatlog.process.setting_types import Count, Port, Seconds, Section, Topic

# The same for each server.
_AUTHORITIES = Field("", description="PEM file of the authorities that TLS trusts; empty: those of the system")
_CERTIFICATE = Field("", description="PEM file of the certificate to be known by, where the server asks for one")
_KEY = Field("", description="PEM file of that certificate's key, without passphrase; empty: it is in the same file")


class Kafka(Section):
    """Kafka, and the topic's shape."""

    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, description="host:port, several with commas")
    topic: Topic = Field("threatlog.events", pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="topic of the events")
    consumer_group: str = Field(
        "threatlog-stream", pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="consumer group of the stream application"
    )
    partitions: Count = Field(12, ge=1, le=1024, description="partitions of a new topic")
    replication_factor: Count = Field(1, ge=1, le=9, description="replication of a new topic")
    min_insync_replicas: Count = Field(1, ge=1, le=9, description="replicas that must have a record before it counts")
    retention: Seconds = Field(
        7 * 86_400.0,
        ge=60,
        le=3650 * 86_400,
        description="how long Kafka keeps records, so how long everything behind it may stop",
    )
    security_protocol: str = Field(
        "PLAINTEXT",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="whether there is TLS (SSL), which always checks certificate and host name, and a user (SASL)",
    )
    sasl_mechanism: str = Field(
        "SCRAM-SHA-512",
        pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$",
        description="how the password is proved; PLAIN sends it",
    )
    username: str = Field("", description="user, with SASL")
    password: SecretStr = Field(SecretStr(""), description="password, with SASL")
    tls_ca: str = _AUTHORITIES
    tls_certificate: str = _CERTIFICATE
    tls_key: str = _KEY


class Postgres(Section):
    """PostgreSQL."""

    host: str = Field("127.0.0.1", min_length=1, description="host name, or the folder of a unix socket")
    port: Port = Field(5432, description="port")
    database: str = Field("threatlog", min_length=1, description="database")
    user: str = Field("threatlog", min_length=1, description="user")
    password: SecretStr = Field(SecretStr(""), description="password")
    max_connections: Count = Field(
        10,
        ge=2,
        le=200,
        description="most connections of one query API process, up to two of them for health, lag and figures",
    )
    connect_timeout: Seconds = Field(3.0, gt=0, le=60, description="longest wait for a connection")
    tls: str = Field(
        "disable",
        pattern="^(disable|require|verify-full)$",
        description="`require` encrypts, whoever answers; `verify-full` also checks the certificate and its host name",
    )
    tls_ca: str = _AUTHORITIES
    tls_certificate: str = _CERTIFICATE
    tls_key: str = _KEY


class Redis(Section):
    """Redis."""

    host: str = Field("127.0.0.1", min_length=1, description="host name")
    port: Port = Field(6379, description="port")
    database: Count = Field(0, ge=0, le=1023, description="database number")
    username: str = Field("", description="user of an access control list; empty: the default one")
    password: SecretStr = Field(SecretStr(""), description="password")
    key_prefix: str = Field("threatlog:", description="what every key begins with")
    timeout: Seconds = Field(0.05, gt=0, le=5, description="a query's longest wait for Redis")
    tls: bool = Field(False, description="whether TLS is used; it always checks the certificate and its host name")
    tls_ca: str = _AUTHORITIES
    tls_certificate: str = _CERTIFICATE
    tls_key: str = _KEY
