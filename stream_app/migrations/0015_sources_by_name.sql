-- depends: 0014_counts_by_bucket_and_source
-- transactional: false
-- A filter names a source in capitals or not: this finds those that it can mean. Its text is never changed by a count,
-- so counting stays as cheap. Each statement may be run again.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS log_rollup_total_lower_source;
CREATE INDEX CONCURRENTLY log_rollup_total_lower_source ON log_rollup_total (lower(source COLLATE "C"));
