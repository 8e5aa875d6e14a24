DROP TABLE log_count_hour, log_count_minute;
ALTER TABLE consumer_offsets DROP COLUMN counted_offset;
