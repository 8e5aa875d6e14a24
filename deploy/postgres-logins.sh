#!/bin/sh
# Makes the group roles, and a login in each for one service, or gives the logins their passwords anew.
# The image of PostgreSQL runs it when it makes a new database; on one that exists, run it by hand:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/logins.sh
# Passwords come by the environment: what stands on a command line is seen by everybody on the machine.
set -eu
exec psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv gateway GATEWAY_PASSWORD
\getenv stream STREAM_PASSWORD
\getenv query QUERY_PASSWORD
SELECT format('CREATE ROLE %I NOLOGIN', r)
FROM unnest(ARRAY['threatlog_gateway', 'threatlog_writer', 'threatlog_reader']) AS r WHERE to_regrole(r) IS NULL \gexec
SELECT format('CREATE ROLE %I LOGIN', r)
FROM unnest(ARRAY['threatlog_gateway_login', 'threatlog_stream_login', 'threatlog_query_login']) AS r
WHERE to_regrole(r) IS NULL \gexec
GRANT threatlog_gateway TO threatlog_gateway_login;
GRANT threatlog_writer TO threatlog_stream_login;
GRANT threatlog_reader TO threatlog_query_login;
ALTER ROLE threatlog_gateway_login PASSWORD :'gateway';
ALTER ROLE threatlog_stream_login PASSWORD :'stream';
ALTER ROLE threatlog_query_login PASSWORD :'query';
SQL
