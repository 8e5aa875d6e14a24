-- transactional: false
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS log_rollup_minute_by_severity;
CREATE UNIQUE INDEX CONCURRENTLY log_rollup_minute_by_severity ON log_rollup_minute (bucket, severity, source);
SET lock_timeout = '1s';
ALTER TABLE log_rollup_minute DROP CONSTRAINT log_rollup_minute_pkey,
    ADD CONSTRAINT log_rollup_minute_pkey PRIMARY KEY USING INDEX log_rollup_minute_by_severity;
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS log_rollup_hour_by_severity;
CREATE UNIQUE INDEX CONCURRENTLY log_rollup_hour_by_severity ON log_rollup_hour (bucket, severity, source);
SET lock_timeout = '1s';
ALTER TABLE log_rollup_hour DROP CONSTRAINT log_rollup_hour_pkey,
    ADD CONSTRAINT log_rollup_hour_pkey PRIMARY KEY USING INDEX log_rollup_hour_by_severity;
