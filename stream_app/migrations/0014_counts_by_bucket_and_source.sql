-- depends: 0013_exports
-- transactional: false
-- The counts of one source are next to each other within a minute or an hour, whatever their severities: whoever looks
-- for them finds them at once, not once for each severity. Workers store on meanwhile. Each statement may be run again.
-- Making an index waits for whoever is at it and has nobody wait; putting it in its place has.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS log_rollup_minute_by_source;
CREATE UNIQUE INDEX CONCURRENTLY log_rollup_minute_by_source ON log_rollup_minute (bucket, source, severity);
SET lock_timeout = '1s';
ALTER TABLE log_rollup_minute DROP CONSTRAINT log_rollup_minute_pkey,
    ADD CONSTRAINT log_rollup_minute_pkey PRIMARY KEY USING INDEX log_rollup_minute_by_source;
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS log_rollup_hour_by_source;
CREATE UNIQUE INDEX CONCURRENTLY log_rollup_hour_by_source ON log_rollup_hour (bucket, source, severity);
SET lock_timeout = '1s';
ALTER TABLE log_rollup_hour DROP CONSTRAINT log_rollup_hour_pkey,
    ADD CONSTRAINT log_rollup_hour_pkey PRIMARY KEY USING INDEX log_rollup_hour_by_source;
