-- depends: 0008_roles 0009_settled_dead_letters
-- What retention removed: so that an absent event can be told from one that never came, and so that workers notice.
CREATE TABLE retention_drops (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_ts   timestamptz NOT NULL,   -- of the day, or of the rows that were removed from the default partition
    last_ts    timestamptz NOT NULL,
    events     bigint      NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
