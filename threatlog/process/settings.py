"""Every setting of every process: its name, default, bounds and meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)\s*(KiB|MiB|GiB|B)?", re.IGNORECASE)
_UNIT_BYTES = {None: 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def _number(value: Any) -> Any:
    """pydantic takes true for 1."""
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def _duration_s(value: Any) -> Any:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError("a duration such as 200ms, 5s, 2m, 1h or a number of seconds")
        return float(match[1]) * _UNIT_S[match[2]]
    return _number(value)


def _size_bytes(value: Any) -> Any:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError("a size such as 512KiB, 10MiB or a number of bytes")
        return int(match[1]) * _UNIT_BYTES[match[2].lower() if match[2] else None]
    return _number(value)


def _topic(value: str) -> str:
    if value in (".", ".."):
        raise ValueError("a name that Kafka takes, so neither . nor ..")
    return value


Seconds = Annotated[float, BeforeValidator(_duration_s), Field(allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(_size_bytes)]
Count = Annotated[int, BeforeValidator(_number)]
Port = Annotated[Count, Field(ge=1, le=65535)]
Topic = Annotated[str, AfterValidator(_topic)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Server(_Section):
    """The gateway's HTTP server."""

    host: str = Field("127.0.0.1", min_length=1, description="address the gateway listens on")
    port: Port = Field(8080, description="port the gateway listens on")
    read_timeout: Seconds = Field(30.0, gt=0, le=600, description="longest time to receive one request's body")
    write_timeout: Seconds = Field(
        5.0, gt=0, le=60, description="longest wait for Kafka's acknowledgement; after it the answer is 503"
    )


class Query(_Section):
    """The query API."""

    host: str = Field("127.0.0.1", min_length=1, description="address the query API listens on")
    port: Port = Field(8081, description="port the query API listens on")
    statement_timeout: Seconds = Field(5.0, gt=0, le=300, description="longest time one query may take in PostgreSQL")
    max_offset: Count = Field(
        100_000, ge=0, description="largest `offset`; deeper pages are reached with `cursor` at no extra cost"
    )


class Stream(_Section):
    """The stream application."""

    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="address of the stream application's /metrics and probes"
    )
    metrics_port: Port = Field(8082, description="port of the first worker's /metrics; worker n uses this plus n")
    stall_timeout: Seconds = Field(
        90.0,
        gt=0,
        le=86_400,
        description="a worker without partitions or progress for this long ends, to be started anew",
    )


class Kafka(_Section):
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


class Postgres(_Section):
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


class Redis(_Section):
    """Redis."""

    host: str = Field("127.0.0.1", min_length=1, description="host name")
    port: Port = Field(6379, description="port")
    database: Count = Field(0, ge=0, le=1023, description="database number")
    password: SecretStr = Field(SecretStr(""), description="password")
    key_prefix: str = Field("threatlog:", description="what every key begins with")
    timeout: Seconds = Field(0.05, gt=0, le=5, description="a query's longest wait for Redis")


class Ingestion(_Section):
    """Windows of the stream application."""

    worker_count: Count = Field(
        1, ge=1, le=64, description="worker processes that `threatlog stream` and `threatlog up` run side by side"
    )
    buffer_size: Count = Field(
        50_000,
        ge=1,
        le=5_000_000,
        description="events a worker holds fetched but not stored; fetching pauses above",
    )
    batch_size: Count = Field(10_000, ge=1, le=100_000, description="most events in one window, so in one transaction")
    batch_timeout: Seconds = Field(0.2, ge=0.005, le=60, description="longest time a window stays open")


class Cache(_Section):
    """The query API's page cache in Redis."""

    ttl: Seconds = Field(60.0, ge=0, le=86_400, description="longest age of a cached page whose range is complete")
    open_range_ttl: Seconds = Field(1.0, ge=0, le=60, description="the same for a range that is still filling")
    query_cache_enabled: bool = Field(True, description="whether pages are cached at all")


class Limits(_Section):
    """What one request and one event may measure."""

    max_body_bytes: Bytes = Field(10 << 20, ge=1024, le=1 << 30, description="body as sent")
    max_decompressed_bytes: Bytes = Field(20 << 20, ge=1024, le=1 << 30, description="body after decompression")
    max_batch_events: Count = Field(5_000, ge=1, le=100_000, description="events in one batch request")
    max_event_bytes: Bytes = Field(512 << 10, ge=1024, le=900 << 10, description="one event as its Kafka record")
    max_message_bytes: Bytes = Field(256 << 10, ge=1, le=900 << 10, description="`message` in UTF-8")
    max_source_chars: Count = Field(256, ge=1, le=1024, description="characters of `source`")
    max_attributes_bytes: Bytes = Field(64 << 10, ge=2, le=900 << 10, description="`attributes` as sent")
    max_attributes_depth: Count = Field(32, ge=1, le=512, description="nesting of `attributes`")
    max_unacknowledged_bytes: Bytes = Field(
        64 << 20,
        ge=1 << 20,
        le=8 << 30,
        description="record bytes waiting for Kafka; above it: 429, or 503 while Kafka acknowledges nothing",
    )
    max_request_bytes_in_flight: Bytes = Field(
        256 << 20,
        ge=1 << 20,
        le=8 << 30,
        description="bytes of all requests held at once, as sent and decompressed; above it the answer is 429",
    )


class Storage(_Section):
    """Day partitions of the log table."""

    partition_days_back: Count = Field(30, ge=1, le=3650, description="oldest day that gets a partition of its own")
    partition_days_ahead: Count = Field(2, ge=1, le=30, description="newest day that gets a partition of its own")


class Log(_Section):
    """Log lines."""

    level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level that is written")


class Settings(_Section):
    """All sections; one frozen value for each process."""

    server: Server = Server()
    query: Query = Query()
    stream: Stream = Stream()
    kafka: Kafka = Kafka()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    ingestion: Ingestion = Ingestion()
    cache: Cache = Cache()
    limits: Limits = Limits()
    storage: Storage = Storage()
    log: Log = Log()
