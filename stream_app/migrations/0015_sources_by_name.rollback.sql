-- transactional: false
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS log_rollup_total_lower_source;
