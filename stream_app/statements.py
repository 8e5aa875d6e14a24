"""Every SQL text of the window's transaction and of the tables around it."""

from typing import Final

from stream_app.word_filter import adding

# Also the fence against a worker that lost the partition: it waits here, then finds other offsets than it expects.
LOCK_OFFSETS: Final = """
SELECT partition, next_offset FROM consumer_offsets
WHERE topic = $1 AND partition = ANY($2::int[]) ORDER BY partition FOR UPDATE"""

READ_OFFSETS: Final = """
SELECT partition, next_offset FROM consumer_offsets WHERE topic = $1 AND partition = ANY($2::int[])"""

# A partition never seen before starts where its log starts; `stored_until` says that nothing is known to be stored yet.
CREATE_OFFSETS: Final = """
INSERT INTO consumer_offsets (topic, partition, next_offset, counted_offset, stored_until, worker)
SELECT $1, p, o, o, to_timestamp(0), $4 FROM unnest($2::int[], $3::bigint[]) AS v (p, o)
ON CONFLICT (topic, partition) DO NOTHING"""

# With the window's word filters, which are in nobody's way: one answer fewer to wait for.
MOVE_OFFSETS: Final = f"""
WITH filters AS ({adding(6)})
UPDATE consumer_offsets AS c
SET next_offset = v.o, counted_offset = v.o, worker = $5,
    stored_until = greatest(c.stored_until, to_timestamp(v.ms / 1000.0)), updated_at = clock_timestamp()
FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS v (p, o, ms)
WHERE c.topic = $1 AND c.partition = v.p"""  # noqa: S608 - of fixed fragments

# At the end of a partition: all that was appended before this time is stored. True for whoever says it, so no fence.
# A row that a window holds is passed over: that window moves it, and waiting could become waiting in a circle.
MOVE_STORED_UNTIL: Final = """
WITH free AS (
    SELECT c.partition, v.ms FROM consumer_offsets c
    JOIN unnest($2::int[], $3::bigint[], $4::bigint[]) AS v (p, o, ms) ON c.partition = v.p
    WHERE c.topic = $1 AND c.next_offset >= v.o ORDER BY c.partition FOR UPDATE OF c SKIP LOCKED
), moved AS (
    UPDATE consumer_offsets AS c
    SET stored_until = greatest(c.stored_until, to_timestamp(free.ms / 1000.0)), worker = $5,
        updated_at = clock_timestamp()
    FROM free WHERE c.topic = $1 AND c.partition = free.partition
)
SELECT partition, next_offset FROM consumer_offsets WHERE topic = $1 AND partition = ANY($2::int[])"""

# pg_blocking_pids knows whom $1 waits for at this moment. Ending is no condition: those are tried in any order.
END_FROZEN: Final = """
SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s, pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE pid = ANY(pg_blocking_pids($1)) AND application_name = $2 AND usename = current_user
AND xact_start < clock_timestamp() - make_interval(secs => $3)"""

# Rows are locked in one order, so that two workers never wait in a circle: sorted within a table, and the tables in the
# order of the last SELECT's branches, which run one after the other. The counts without source come last: all workers
# share those few rows, and hold them only from here to the commit.
ADD_TO_ROLLUPS: Final = """
WITH cells AS (
    -- Division cuts towards zero, so an hour before 1970 is counted down to instead.
    SELECT to_timestamp(m * 60) AS minute, to_timestamp((m - (m % 60 + 60) % 60) * 60) AS hour, s AS severity,
           o AS source, n
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[]) AS v (m, s, o, n)
), minutes AS (
    INSERT INTO log_rollup_minute AS t (bucket, severity, source, n)
    SELECT minute, severity, source, n FROM cells ORDER BY 1, 2, 3
    ON CONFLICT (bucket, severity, source) DO UPDATE SET n = t.n + excluded.n RETURNING bucket, severity, source, n
), hours AS (
    INSERT INTO log_rollup_hour AS t (bucket, severity, source, n)
    SELECT hour, severity, source, sum(n) FROM cells GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (bucket, severity, source) DO UPDATE SET n = t.n + excluded.n RETURNING 1
), totals AS (
    INSERT INTO log_rollup_total AS t (severity, source, n)
    SELECT severity, source, sum(n) FROM cells GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (severity, source) DO UPDATE SET n = t.n + excluded.n RETURNING severity, source, n
), all_minutes AS (
    INSERT INTO log_count_minute AS t (bucket, severity, n)
    SELECT minute, severity, sum(n) FROM cells GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (bucket, severity) DO UPDATE SET n = t.n + excluded.n RETURNING 1
), all_hours AS (
    INSERT INTO log_count_hour AS t (bucket, severity, n)
    SELECT hour, severity, sum(n) FROM cells GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (bucket, severity) DO UPDATE SET n = t.n + excluded.n RETURNING 1
)
SELECT extract(epoch FROM bucket)::bigint / 60 AS minute, severity, source, n FROM minutes
UNION ALL SELECT NULL, severity, source, n FROM totals
UNION ALL SELECT NULL, NULL, NULL, count(*) FROM hours
UNION ALL SELECT NULL, NULL, NULL, count(*) FROM all_minutes
UNION ALL SELECT NULL, NULL, NULL, count(*) FROM all_hours"""

# In order, for the same reason.
ADD_FOREIGN_ID_HOURS: Final = """
INSERT INTO log_foreign_ids (bucket) SELECT to_timestamp(h * 3600) FROM unnest($1::bigint[]) AS h ORDER BY 1
ON CONFLICT (bucket) DO NOTHING"""

ADD_DEAD_LETTERS: Final = """
INSERT INTO dead_letters (topic, partition, "offset", reason, detail, key, payload, appended_at, headers)
SELECT $1, p, o, r, d, k, b, to_timestamp(ms / 1000.0), h::json
FROM unnest($2::int[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::bigint[], $9::text[])
     AS v (p, o, r, d, k, b, ms, h)
ON CONFLICT (topic, partition, "offset") DO NOTHING"""

ADD_OFFSET_GAPS: Final = """
INSERT INTO offset_gaps (topic, partition, from_offset, to_offset)
SELECT $1, p, a, z FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS v (p, a, z)
ON CONFLICT (topic, partition, from_offset) DO NOTHING"""

# Rows are numbered as they come: PostgreSQL puts a row where there is room, so its place (ctid) does not say which of
# two came first, and Redis was told of another one than was stored.
CREATE_STAGING: Final = """
CREATE TEMP TABLE IF NOT EXISTS staged_logs (LIKE logs, arrival bigserial) ON COMMIT DELETE ROWS"""

# A repeated (ts, id), stored earlier or twice in this window, is left out: the first one stored wins.
INSERT_STAGED: Final = """
INSERT INTO logs (id, ts, severity, source, message, attributes, received_at)
SELECT id, ts, severity, source, message, attributes, received_at FROM staged_logs ORDER BY arrival
ON CONFLICT (ts, id) DO NOTHING
RETURNING (extract(epoch FROM ts) * 1000000)::bigint AS ts_us, id"""

REPORT_PROCESS: Final = """
INSERT INTO process_metrics (process, role, worker, started_at, updated_at, counters)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5::jsonb)
ON CONFLICT (process) DO UPDATE SET updated_at = excluded.updated_at, counters = excluded.counters"""

# The row of a role has its name and is never heard of. Without $1: a rate does not add up. Not all at once: adding up
# holds the worker's event loop.
SILENT_PROCESSES: Final = """
SELECT m.process, m.role, (m.counters - $1::text)::text AS counters, f.counters::text AS folded
FROM process_metrics m LEFT JOIN process_metrics_folded f USING (process)
WHERE m.updated_at < clock_timestamp() - interval '1 hour' AND m.process <> m.role
ORDER BY m.process LIMIT 200 FOR UPDATE OF m"""

ROLE_COUNTERS: Final = "SELECT counters::text AS counters FROM process_metrics WHERE process = $1 FOR UPDATE"

WRITE_ROLE: Final = """
INSERT INTO process_metrics (process, role, started_at, updated_at, counters)
VALUES ($1, $1, to_timestamp(0), to_timestamp(0), $2::text::jsonb)
ON CONFLICT (process) DO UPDATE SET counters = excluded.counters"""

REMOVE_SILENT: Final = """
WITH gone AS (DELETE FROM process_metrics WHERE process = ANY($1::text[]) RETURNING process, counters)
INSERT INTO process_metrics_folded (process, counters) SELECT process, counters - $2::text FROM gone
ON CONFLICT (process) DO UPDATE SET counters = excluded.counters, folded_at = excluded.folded_at"""

# By then nothing of the process is left that could report again.
FORGET_FOLDED: Final = """
DELETE FROM process_metrics_folded f WHERE folded_at < clock_timestamp() - interval '30 days'
AND NOT EXISTS (SELECT FROM process_metrics m WHERE m.process = f.process)"""

RECENT: Final = """
SELECT id, ts, severity, source, message, attributes, received_at FROM logs
WHERE ts <= $1 ORDER BY ts DESC, id DESC LIMIT $2"""

# Of a severity: in the newest hours, and of those in the newest minutes, that hold so many of it. Without them a rare
# one was looked for in every row. The newest hour and the newest minute may be cut: of their events it is not known how
# many are wanted.
RECENT_OF_SEVERITY: Final = """
WITH hours AS (
    SELECT bucket FROM (
        SELECT bucket, sum(CASE WHEN bucket <= $1::timestamptz - interval '1 hour' THEN n ELSE 0 END)
               OVER (ORDER BY bucket DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newer
        FROM log_count_hour WHERE severity = $3 AND bucket <= $1
    ) AS counted WHERE coalesce(newer, 0) < $2
), minutes AS (
    SELECT bucket FROM (
        SELECT m.bucket, sum(CASE WHEN m.bucket <= $1::timestamptz - interval '1 minute' THEN m.n ELSE 0 END)
               OVER (ORDER BY m.bucket DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newer
        FROM hours AS h CROSS JOIN LATERAL (
            SELECT bucket, n FROM log_count_minute
            WHERE bucket >= h.bucket AND bucket < h.bucket + interval '1 hour' AND bucket <= $1 AND severity = $3
            OFFSET 0
        ) AS m
    ) AS counted WHERE coalesce(newer, 0) < $2
)
SELECT l.* FROM minutes AS m CROSS JOIN LATERAL (
    SELECT id, ts, severity, source, message, attributes, received_at FROM logs
    WHERE ts >= m.bucket AND ts < m.bucket + interval '1 minute' AND ts <= $1 AND severity = $3
    ORDER BY ts DESC, id DESC LIMIT $2
) AS l ORDER BY l.ts DESC, l.id DESC LIMIT $2"""

# After $1, so that what was read up to there is not read again.
RECENT_BETWEEN: Final = """
SELECT id, ts, severity, source, message, attributes, received_at FROM logs
WHERE ts > $1 AND ts <= $2 AND ($4::smallint IS NULL OR severity = $4) ORDER BY ts DESC, id DESC LIMIT $3"""

MINUTE_COUNTS: Final = """
SELECT extract(epoch FROM bucket)::bigint / 60 AS minute, severity, source, n FROM log_rollup_minute
WHERE bucket BETWEEN $1 AND $2 ORDER BY bucket"""

TOTAL_COUNTS: Final = "SELECT severity, source, n FROM log_rollup_total"

STORED_UNTIL: Final = "SELECT partition, stored_until FROM consumer_offsets WHERE topic = $1"

# Of keys that exist only: a direct record's header may say anything.
ADD_DUPLICATES = """
    INSERT INTO producer_duplicates AS known (key_id, n)
    SELECT found.key_id, found.n FROM unnest($1::text[], $2::bigint[]) AS found (key_id, n)
    WHERE EXISTS (SELECT FROM api_keys WHERE id = found.key_id)
    ON CONFLICT (key_id) DO UPDATE SET n = known.n + excluded.n"""
