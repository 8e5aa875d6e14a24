-- depends: 0006_access
-- What became of each producer's events, for the producer itself.

-- One row for each key and gateway, with counts since the first start of that gateway.
CREATE TABLE producer_figures (
    key_id     text        NOT NULL REFERENCES api_keys (id),
    gateway    text        NOT NULL,   -- host:port
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    counters   jsonb       NOT NULL,
    PRIMARY KEY (key_id, gateway)
) WITH (fillfactor = 50);

-- Events that were stored already, counted in the transaction that found it.
CREATE TABLE producer_duplicates (
    key_id text   PRIMARY KEY REFERENCES api_keys (id),
    n      bigint NOT NULL
) WITH (fillfactor = 50);
