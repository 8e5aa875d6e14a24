-- depends: 0004_dead_letter_headers 0005_foreign_ids
-- Who may do what, and what was done with it.

CREATE TABLE api_keys (
    id           text        PRIMARY KEY,
    name         text        NOT NULL,
    secret_hash  bytea       NOT NULL,   -- SHA-256; the key itself was shown once and is kept nowhere
    scopes       text[]      NOT NULL,
    sources      text[],                 -- the only sources it may send events of; NULL for any
    events_per_s float8,                 -- its quota; NULL for that of the settings
    bytes_per_s  float8,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,            -- to about ten seconds
    replaced_by  text REFERENCES api_keys (id)
);

-- What was done: changes of keys, actions on dead letters, failed authentications.
CREATE TABLE audit_log (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor  text        NOT NULL,         -- user@host of a command, the id of a key, or an address
    action text        NOT NULL,         -- such as key.revoked
    target text        NOT NULL,         -- what it was done to
    detail jsonb       NOT NULL
);
CREATE INDEX audit_log_at ON audit_log (at);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
