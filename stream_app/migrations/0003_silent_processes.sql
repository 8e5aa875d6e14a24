-- depends: 0002_counts
-- `process_metrics` keeps one row for all processes of a role that are gone, and names the worker of each.

-- The name in consumer_offsets.worker; NULL for a process that stores nothing.
ALTER TABLE process_metrics ADD COLUMN worker text;
UPDATE process_metrics SET worker = regexp_replace(process, '-[0-9]+$', '') WHERE role = 'stream';

-- What the row of a process held when it was added to its role's row and removed. Should the process wake up, its counters
-- go on from there, and this much of them is counted already.
CREATE TABLE process_metrics_folded (
    process   text        PRIMARY KEY,
    counters  jsonb       NOT NULL,
    folded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
