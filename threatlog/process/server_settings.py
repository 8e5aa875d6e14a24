"""The settings of the three servers: how to reach them, and the shape of the topic."""

from __future__ import annotations

from pydantic import Field, SecretStr

from threatlog.process.setting_types import Count, Port, Seconds, Section, Topic


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


class Redis(Section):
    """Redis."""

    host: str = Field("127.0.0.1", min_length=1, description="host name")
    port: Port = Field(6379, description="port")
    database: Count = Field(0, ge=0, le=1023, description="database number")
    password: SecretStr = Field(SecretStr(""), description="password")
    key_prefix: str = Field("threatlog:", description="what every key begins with")
    timeout: Seconds = Field(0.05, gt=0, le=5, description="a query's longest wait for Redis")
