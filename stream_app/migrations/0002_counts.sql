-- depends: 0001_store
-- Counts without source, so that a total does not depend on how many sources there are.

-- Set with next_offset by workers that keep the counts below; NULL where none has. An older worker fails the check at its
-- next window and waits to be replaced, instead of storing events that these counts would leave out for ever.
-- First, since it waits for the windows under way and holds off further ones until the counts are made.
ALTER TABLE consumer_offsets ADD COLUMN counted_offset bigint;
UPDATE consumer_offsets SET counted_offset = next_offset;
ALTER TABLE consumer_offsets ADD CONSTRAINT consumer_offsets_counted CHECK (counted_offset = next_offset);

CREATE TABLE log_count_minute (
    bucket   timestamptz NOT NULL,
    severity smallint    NOT NULL,
    n        bigint      NOT NULL,
    PRIMARY KEY (bucket, severity)
) WITH (fillfactor = 50);

CREATE TABLE log_count_hour (
    bucket   timestamptz NOT NULL,
    severity smallint    NOT NULL,
    n        bigint      NOT NULL,
    PRIMARY KEY (bucket, severity)
) WITH (fillfactor = 50);

INSERT INTO log_count_minute SELECT bucket, severity, sum(n) FROM log_rollup_minute GROUP BY 1, 2 ORDER BY 1, 2;
INSERT INTO log_count_hour SELECT bucket, severity, sum(n) FROM log_rollup_hour GROUP BY 1, 2 ORDER BY 1, 2;
