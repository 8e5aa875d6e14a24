DROP TABLE process_metrics, offset_gaps, dead_letters, log_rollup_total, log_rollup_hour, log_rollup_minute, consumer_offsets, logs;
