"""Every setting of every process: its name, default, bounds and meaning."""

from __future__ import annotations

from pydantic import Field

from threatlog.process.server_settings import Kafka, Postgres, Redis
from threatlog.process.setting_types import Bytes, Count, Port, Seconds, Section


class Server(Section):
    """The gateway's HTTP server."""

    host: str = Field("127.0.0.1", min_length=1, description="address the gateway listens on")
    port: Port = Field(8080, description="port the gateway listens on")
    read_timeout: Seconds = Field(30.0, gt=0, le=600, description="longest time to receive one request's body")
    min_body_rate: Bytes = Field(
        1 << 10, ge=1, le=1 << 30, description="bytes a second that a body must keep up, after its first five seconds"
    )
    header_timeout: Seconds = Field(
        5.0, gt=0, le=600, description="longest time to receive a request's headers, also for the query API"
    )
    idle_timeout: Seconds = Field(
        15.0, ge=1, le=3600, description="longest time a connection stays without a request, also for the query API"
    )
    write_timeout: Seconds = Field(
        5.0, gt=0, le=60, description="longest wait for Kafka's acknowledgement; after it the answer is 503"
    )


class Query(Section):
    """The query API."""

    host: str = Field("127.0.0.1", min_length=1, description="address the query API listens on")
    port: Port = Field(8081, description="port the query API listens on")
    statement_timeout: Seconds = Field(5.0, gt=0, le=300, description="longest time one query may take in PostgreSQL")
    search_budget: Seconds = Field(
        0.25, gt=0, le=60, description="time after which a search through events answers with what it has found"
    )
    max_offset: Count = Field(
        100_000, ge=0, description="largest `offset`; deeper pages are reached with `cursor` at no extra cost"
    )
    max_exports: Count = Field(
        4,
        ge=0,
        le=64,
        description="most files of exports that one process sends at once, over two connections of its own",
    )
    max_tails: Count = Field(
        100,
        ge=0,
        le=5000,
        description="live tails that one query API process serves at once; above it the answer is 503",
    )


class Stream(Section):
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


class Ingestion(Section):
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
    dead_letter_limit: Count = Field(
        100_000,
        ge=0,
        le=1 << 30,
        description="dead letters in a row after which a partition waits a minute; 0: never",
    )


class Cache(Section):
    """The query API's finished answers, in its memory, and in Redis where they cost much."""

    ttl: Seconds = Field(60.0, ge=0, le=86_400, description="longest age of a cached page whose range is complete")
    open_range_ttl: Seconds = Field(1.0, ge=0, le=60, description="the same for a range that is still filling")
    query_cache_enabled: bool = Field(True, description="whether pages are cached at all")
    max_memory_bytes: Bytes = Field(
        32 << 20, ge=0, le=1 << 30, description="answers in the memory of a query API; 0: only those in Redis"
    )


class Limits(Section):
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
        description="record bytes waiting for Kafka; above it the answer is 503",
    )
    max_request_bytes_in_flight: Bytes = Field(
        256 << 20,
        ge=1 << 20,
        le=8 << 30,
        description="bytes of all requests held at once, as sent and decompressed; above it the answer is 503",
    )
    max_concurrent_requests: Count = Field(
        4096, ge=1, le=100_000, description="ingestion requests answered at once; above it the answer is 503"
    )
    key_concurrent_requests: Count = Field(
        1024, ge=1, le=100_000, description="those of one API key; above it the answer is 429"
    )
    key_events_per_second: Count = Field(
        0, ge=0, le=1_000_000_000, description="events that an API key without a quota of its own may send; 0 for any"
    )
    key_bytes_per_second: Bytes = Field(
        0, ge=0, le=1 << 40, description="the same in bytes of bodies after decompression; 0 for any"
    )


class Storage(Section):
    """Day partitions of the log table."""

    partition_days_back: Count = Field(30, ge=1, le=3650, description="oldest day that gets a partition of its own")
    partition_days_ahead: Count = Field(2, ge=1, le=30, description="newest day that gets a partition of its own")
    retention_days: Count = Field(
        0, ge=0, le=36500, description="days after which events go; above `storage.partition_days_back`, 0 keeps all"
    )
    word_filters: bool = Field(
        True, description="whether to note which words blocks of events hold; without, each search for words reads all"
    )


class Access(Section):
    """API keys."""

    required: str = Field(
        "auto",
        pattern="^(auto|always)$",
        description="whether requests need an API key; `auto`: wherever others than this machine can connect",
    )
    max_stale: Seconds = Field(
        3600.0,
        ge=5,
        le=30 * 86_400,
        description="how long known keys stay good while PostgreSQL, which has them, cannot be asked",
    )


class Log(Section):
    """Log lines."""

    level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level that is written")


class Settings(Section):
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
    access: Access = Access()
    log: Log = Log()
