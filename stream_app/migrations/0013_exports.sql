-- depends: 0012_word_filters
-- Exports that were asked for, and of each what is needed to give any part of its file again. The query API's own; an
-- export is forgotten after some days.

CREATE TABLE exports (
    id             text        PRIMARY KEY,
    request        json        NOT NULL,   -- the body that asked for it
    caller         text        NOT NULL,   -- the id of a key, or an address
    status         text        NOT NULL DEFAULT 'created', -- then running, interrupted, completed or cancelled
    reason         text,                   -- why it was interrupted
    events_at_most bigint      NOT NULL,   -- what the counts say of its filter
    stored_until   json        NOT NULL,   -- Kafka partition -> microseconds, when it was asked for
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE INDEX exports_created_at ON exports (created_at);

-- The pieces that were sent, in order; what they hold is in no table but logs.
CREATE TABLE export_chunks (
    export_id text        NOT NULL REFERENCES exports ON DELETE CASCADE,
    number    integer     NOT NULL,
    bytes     bigint      NOT NULL,  -- of the file up to its end
    rows      bigint      NOT NULL,  -- likewise
    ts        timestamptz NOT NULL,  -- where the next one begins
    event_id  uuid        NOT NULL,  -- likewise
    digest    bytea       NOT NULL,  -- of all content up to its end
    is_last   boolean     NOT NULL,
    PRIMARY KEY (export_id, number)
);
