-- depends: 0007_producers
-- What storing does to day partitions, as functions of whoever migrates: the role that stores owns no table, so it
-- can add events and neither change nor remove any.

-- Makes the empty partition of a day, or finds it made; false where the default partition holds rows of that day.
CREATE FUNCTION make_log_day(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    partition text := 'logs_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE logs_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM logs_default WHERE ts >= starts AND ts < ends) THEN
        RETURN false;
    END IF;
    -- With its index: made by ATTACH it would keep readers waiting.
    EXECUTE format('CREATE TABLE %I (LIKE logs INCLUDING DEFAULTS INCLUDING INDEXES)', partition);
    EXECUTE format('ALTER TABLE logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, starts, ends);
    RETURN true;
END
$$;

-- Returns once nobody is in the way of the default partition, and keeps others out until the end of the transaction.
CREATE FUNCTION lock_default_logs() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    LOCK TABLE logs_default IN ACCESS EXCLUSIVE MODE;
END
$$;

-- Makes a day's partition of what the default one holds of it; false where it is made already. Whole or not at all, so
-- that no reader ever misses a row. The default partition is locked for the last of it: windows store further rows of
-- the day until then, so there are two moves.
CREATE FUNCTION move_log_day(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    partition text := 'logs_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    move text := format(
        'WITH moved AS (DELETE FROM logs_default WHERE ts >= %L AND ts < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        starts, ends, partition);
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE logs INCLUDING DEFAULTS INCLUDING INDEXES)', partition);
    EXECUTE move;
    LOCK TABLE logs_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE move;
    EXECUTE format('ALTER TABLE logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, starts, ends);
    RETURN true;
END
$$;

-- They run as their owner: they must mean our tables whatever their caller's search_path is, and its temporary tables
-- last. Who may call them is in stream_app/roles.py.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['make_log_day(date)', 'lock_default_logs()', 'move_log_day(date)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END
$$;
