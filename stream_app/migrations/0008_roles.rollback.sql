DROP FUNCTION move_log_day(date), lock_default_logs(), make_log_day(date);
