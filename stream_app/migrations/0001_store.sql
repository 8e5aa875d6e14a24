-- depends:
-- The record of every event, the positions that make it exactly-once, and the counts kept beside it.

CREATE TABLE logs (
    id          uuid        NOT NULL,
    ts          timestamptz NOT NULL,
    severity    smallint    NOT NULL,   -- 0 INFO, 1 LOW, 2 MEDIUM, 3 HIGH, 4 CRITICAL
    source      text        NOT NULL,
    message     text        NOT NULL,
    attributes  json,                   -- json, not jsonb: the sender's bytes are evidence and stay as they came
    received_at timestamptz NOT NULL    -- accepted by the gateway, or appended by the broker for a direct record
) PARTITION BY RANGE (ts);

-- Ascending, so that inserts hit the rightmost leaf; newest-first reads scan it backwards.
CREATE UNIQUE INDEX logs_ts_id ON logs (ts, id);

-- Whatever falls outside the days that exist; kept, counted, and moved when its day is made.
CREATE TABLE logs_default PARTITION OF logs DEFAULT;

-- The truth about how far each Kafka partition is stored; written in the same transaction as the rows.
CREATE TABLE consumer_offsets (
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    next_offset  bigint      NOT NULL,
    stored_until timestamptz NOT NULL,  -- every record of the partition appended before this time is stored
    worker       text        NOT NULL,  -- who wrote last
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE log_rollup_minute (
    bucket   timestamptz NOT NULL,
    severity smallint    NOT NULL,
    source   text        NOT NULL,
    n        bigint      NOT NULL,
    PRIMARY KEY (bucket, severity, source)
) WITH (fillfactor = 70);

CREATE TABLE log_rollup_hour (
    bucket   timestamptz NOT NULL,
    severity smallint    NOT NULL,
    source   text        NOT NULL,
    n        bigint      NOT NULL,
    PRIMARY KEY (bucket, severity, source)
) WITH (fillfactor = 70);

CREATE TABLE log_rollup_total (
    severity smallint NOT NULL,
    source   text     NOT NULL,
    n        bigint   NOT NULL,
    PRIMARY KEY (severity, source)
) WITH (fillfactor = 50);

-- What could not be stored as an event, byte for byte.
CREATE TABLE dead_letters (
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    reason      text        NOT NULL,
    detail      text        NOT NULL,
    key         bytea,
    payload     bytea,                  -- NULL when the record had no value
    appended_at timestamptz NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX dead_letters_stored_at ON dead_letters (stored_at);

-- Offsets that Kafka no longer had when we came for them: lost before they were stored, and said so.
CREATE TABLE offset_gaps (
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL,   -- exclusive
    noticed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, from_offset)
);

-- One row for each process that reports figures (each second); the query API adds them up over all processes.
CREATE TABLE process_metrics (
    process    text             PRIMARY KEY,   -- role, host, pid and start time
    role       text             NOT NULL,      -- stream or query
    started_at timestamptz      NOT NULL,
    updated_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    counters   jsonb            NOT NULL       -- names of stream_app/contract.py and query_api, monotonic since the start
) WITH (fillfactor = 50);
