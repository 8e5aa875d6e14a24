-- depends: 0010_retention
-- Which worker began on a partition when, and how many before it died early: those after them read less at once.
CREATE TABLE partition_starts (
    topic     text        NOT NULL,
    partition integer     NOT NULL,
    process   text        NOT NULL,   -- in process_metrics; empty once it ended well
    began_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    deaths    integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
);
